"""Read images of galaxies from files, archives, web addresses or arrays; decode their pixels."""
