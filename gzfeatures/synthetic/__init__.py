"""Simulate a survey: galaxies of known shape, images of them, votes of simulated volunteers."""
