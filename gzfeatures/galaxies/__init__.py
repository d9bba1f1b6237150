"""Read catalogs of galaxies, label galaxies by volunteers' votes, and split them into samples."""
