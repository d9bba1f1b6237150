"""Explanations of a network: the pixels a class depends on, and galleries of them."""
