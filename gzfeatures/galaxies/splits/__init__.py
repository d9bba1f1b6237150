"""Splits into training, validation and test galaxies, groups that stay together, and samples."""
