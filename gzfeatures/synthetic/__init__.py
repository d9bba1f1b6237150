"""Simulate a survey: galaxies of known shape, their images, and the votes of volunteers."""
