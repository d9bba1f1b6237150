"""Map galaxies by the UMAP of their embeddings: quality, interactive page, figures."""
