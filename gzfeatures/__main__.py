"""Run the command line by `python -m gzfeatures`."""

from gzfeatures.cli import main

main()
