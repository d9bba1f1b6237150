"""Open the sources of image files: folders, archives, arrays and web addresses."""
