"""Define the parts of a training: recipe, options, targets, batches, and random image copies."""

from gzfeatures.errors import NETWORK, require_packages

# every module of this folder imports them at its head: said here once, in words
require_packages("a training", *NETWORK)
