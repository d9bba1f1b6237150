"""Offer each command of `gzfeatures` as a Python function of the same name and options."""
