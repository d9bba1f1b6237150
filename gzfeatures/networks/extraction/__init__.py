"""Compute embeddings: run images through a network on a CPU, on GPUs or on a Ray cluster."""
