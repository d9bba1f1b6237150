"""Maps of morphology space: UMAP of an embedding table, its quality, its page and its figures."""
