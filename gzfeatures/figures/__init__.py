"""Draw pictures of galaxies and plots in one style."""
