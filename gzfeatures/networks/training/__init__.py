"""Train networks: recipe, steps, state on disk, and the checkpoint at the end."""

from gzfeatures.errors import NETWORK, require_packages

# every module of this folder imports them at its head: said here once, in words
require_packages("a training", *NETWORK, "lightning")
