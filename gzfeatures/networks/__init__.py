"""Extract embeddings, train networks and explain them in PyTorch; no other folder imports torch."""
