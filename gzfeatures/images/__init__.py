"""Read images of galaxies: files, archives, addresses and arrays to pixels."""
