"""Pictures of galaxies and plots, all in one style."""
