"""Name backbones, and keep embeddings in tables and in a store, without importing torch."""
