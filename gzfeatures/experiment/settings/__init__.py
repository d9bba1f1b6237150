"""Sections of an experiment file: galaxies, networks, heads, and settings that override."""
