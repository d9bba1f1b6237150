"""Compile networks for this machine, and keep the compiled code in a private folder."""
