"""Where image files lie: folders, archives, arrays, addresses."""
