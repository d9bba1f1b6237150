"""Compute class probabilities with a trained network, and calibrate them."""

from gzfeatures._moved import names_of

__getattr__ = names_of("networks.inference")
