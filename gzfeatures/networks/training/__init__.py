"""Train networks: recipe, steps, state on disk, and the checkpoint at the end."""

from gzfeatures.errors import NETWORK, require_packages

# every module of this folder imports PyTorch and Lightning: tell the user here, in one line, if one
# is missing
require_packages("a training", *NETWORK, "lightning")
