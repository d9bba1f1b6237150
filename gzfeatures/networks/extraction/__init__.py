"""Compute embeddings of images: the forward pass on CPU, GPU or a cluster."""
