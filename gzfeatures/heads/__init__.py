"""Fit classifiers and regressors ("heads") to vectors of galaxies, and predict with them."""
