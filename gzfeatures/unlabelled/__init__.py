"""Galaxies without labels: whether they are like the training galaxies, and which classes they hold."""
