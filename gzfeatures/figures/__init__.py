"""Draw images of galaxies, and plots in one style."""
