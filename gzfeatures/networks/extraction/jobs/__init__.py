"""One extraction: digests of images, missing embeddings, tables."""
