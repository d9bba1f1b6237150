"""Draw maps of galaxies from their embeddings by UMAP, as web pages and figures for papers."""
