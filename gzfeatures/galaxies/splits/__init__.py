"""Split galaxies into train, validation and test, keep groups together, and draw samples."""
