"""Define the parts of a training: recipe, options, targets, batches, and random image copies."""

from gzfeatures.errors import NETWORK, require_packages

# every module of this folder imports PyTorch: tell the user here, in one line, if it is missing
require_packages("a training", *NETWORK)
