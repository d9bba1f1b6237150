"""Name backbones, keep embedding tables, and store embeddings, without importing torch."""
