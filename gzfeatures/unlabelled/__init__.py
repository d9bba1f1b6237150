"""Describe galaxies without labels: likeness to the training galaxies, and class shares."""
