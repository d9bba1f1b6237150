"""Prepare what a training needs: settings, loss functions, batches, and random image copies."""

from gzfeatures.errors import NETWORK, require_packages

# every module of this folder imports PyTorch: if it is missing, stop here with an error of one line
# that says how to install it
require_packages("a training", *NETWORK)
