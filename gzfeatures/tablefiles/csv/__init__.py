"""Read CSV tables: find the header, split rows into cells, and find rows that are no galaxies."""
