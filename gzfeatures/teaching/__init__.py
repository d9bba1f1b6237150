"""Train a head (classifier on embeddings) with the answers of a person who labels galaxies."""
