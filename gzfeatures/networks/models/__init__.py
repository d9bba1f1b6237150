"""Define network architectures, and load their weights."""

from gzfeatures.errors import NETWORK, require_packages

# every module of this folder imports them at its head: said here once, in words
require_packages("a network", *NETWORK)
