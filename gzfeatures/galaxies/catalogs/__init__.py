"""Catalogs of galaxies: columns, ids, and what is wrong in them."""
