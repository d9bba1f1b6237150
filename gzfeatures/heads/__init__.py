"""Classifiers on embedding tables."""
