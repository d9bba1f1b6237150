"""Images to vectors: the forward pass on CPU, GPU or a cluster."""
