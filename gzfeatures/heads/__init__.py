"""Fit classifiers and regressors ("heads") on embedding tables, and predict with them."""
