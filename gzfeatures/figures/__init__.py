"""Draw images of galaxies, and plots that share one style."""
