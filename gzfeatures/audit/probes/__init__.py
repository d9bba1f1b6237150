"""Measure how well linear models predict nuisances (redshift, seeing, …) from embeddings."""
