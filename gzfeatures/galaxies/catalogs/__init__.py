"""Read, check and join catalogs of galaxies."""
