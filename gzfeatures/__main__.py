"""`python -m gzfeatures`."""

from gzfeatures.cli import main

main()
