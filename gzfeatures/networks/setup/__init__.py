"""Prepare what a training needs: settings, losses, batches, image copies, choice of the epoch."""

from gzfeatures.errors import NETWORK, require_packages

# every module of this folder needs PyTorch: if it is missing, stop here with an error of one line
# that says how to install it
require_packages("a training", *NETWORK)
