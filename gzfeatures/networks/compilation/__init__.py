"""Compile networks to machine code for this machine; store it where only the user can write."""
