"""Compare galaxies without labels with training galaxies, and estimate their class shares."""
