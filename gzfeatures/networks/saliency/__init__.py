"""Explain networks: find the pixels that a class depends on, and show them in galleries."""
