"""Define network architectures, and load their weights."""

from gzfeatures.errors import NETWORK, require_packages

# every module of this folder imports PyTorch: tell the user here, in one line, if it is missing
require_packages("a network", *NETWORK)
