"""Catalogs that lie in partitions of the sky on disk (HATS), joined a partition at a time."""
