"""Class probabilities of a trained network, and how sure they should be."""

from gzfeatures._moved import names_of

__getattr__ = names_of("networks.inference")
