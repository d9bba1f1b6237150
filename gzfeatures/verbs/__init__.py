"""Offer each command of `gzfeatures` as a Python function with the same name and options."""
