"""Teach a head by questions to a person: choose the galaxies to ask about, use the answers."""
