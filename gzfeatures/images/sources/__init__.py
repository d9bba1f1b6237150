"""Read image files by name from folders, archives, array files and web addresses."""
