"""Simulate a survey: galaxies of known shape, their images, and volunteers' votes."""
