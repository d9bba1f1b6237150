"""A synthetic survey: galaxies of known shape, images of them, and votes of simulated volunteers."""
