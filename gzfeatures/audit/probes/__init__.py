"""Measure how well linear probes predict nuisances from embeddings of new galaxies."""
