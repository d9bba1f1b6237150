"""Teach a head by questions: which galaxies to ask about, and what the answers say."""
