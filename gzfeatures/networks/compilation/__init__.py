"""Compile networks to machine code for this machine, and store the code in a private folder."""
