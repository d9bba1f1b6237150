"""Run an extraction: hash image files, compute missing embeddings, return tables of embeddings."""
