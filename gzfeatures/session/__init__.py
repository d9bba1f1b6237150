"""Serve a web page on which a person labels galaxies; keep the labels, and fit heads."""
