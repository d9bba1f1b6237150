"""Measure whether embeddings reveal more than morphology: nuisances such as redshift or seeing."""
