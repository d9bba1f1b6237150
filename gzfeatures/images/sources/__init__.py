"""Open the places of image files: folders, archives, arrays, addresses."""
