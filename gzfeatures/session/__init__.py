"""Serve a page on which a user labels galaxies; keep the labels in a file, and fit heads."""
