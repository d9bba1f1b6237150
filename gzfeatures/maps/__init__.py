"""Draw maps of galaxies from their embeddings by UMAP: quality, interactive page, figures."""
