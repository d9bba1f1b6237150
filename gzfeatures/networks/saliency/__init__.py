"""Explain networks: find the pixels that a class depends on, and show them in galleries."""

from gzfeatures.errors import NETWORK, require_packages

# every module of this folder imports these packages: tell the user here if one is missing
require_packages("explaining a prediction", *NETWORK, "captum")
