"""Fit classifiers and regressors ("heads") to embeddings of galaxies, and predict with them."""
