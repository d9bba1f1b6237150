"""Serve a web page on which a person labels galaxies; save the labels, and fit heads to them."""
