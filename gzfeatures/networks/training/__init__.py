"""Train networks, resume interrupted trainings, and write the trained network as a checkpoint."""

from gzfeatures.errors import NETWORK, require_packages

# every module of this folder imports PyTorch and Lightning: if one is missing, stop here with an
# error of one line that says how to install it
require_packages("a training", *NETWORK, "lightning")
