"""Read images of galaxies from files, archives, addresses or arrays, and decode their pixels."""
