"""Describe galaxies without labels: familiarity, shift, class shares."""
