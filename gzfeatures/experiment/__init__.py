"""Run experiments: train networks, fit heads on embeddings, rank all by score, write a report."""

from gzfeatures._moved import names_of

__getattr__ = names_of("experiment")
