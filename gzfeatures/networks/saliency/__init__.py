"""Explain networks: show on which pixels of an image the probability of a class depends."""

from gzfeatures.errors import NETWORK, require_packages

# every module of this folder imports PyTorch and captum: if one is missing, stop here with an error
# of one line that says how to install it
require_packages("explaining a prediction", *NETWORK, "captum")
