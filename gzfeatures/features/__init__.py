"""Vectors: backbones by name, embedding tables, and the store. No torch here."""
