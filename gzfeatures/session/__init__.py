"""Teach on a page that a program serves: labels go to a file, heads are fitted anew."""
