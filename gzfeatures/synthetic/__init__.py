"""Simulate a survey: galaxies of known shape, their images, and votes of simulated volunteers."""
