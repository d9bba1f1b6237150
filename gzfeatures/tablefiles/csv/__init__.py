"""Read CSV tables: find the header, split the records, and recognise rows that are no galaxies."""
