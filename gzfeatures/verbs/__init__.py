"""Offer each verb of the command line as a Python function with the same words."""
