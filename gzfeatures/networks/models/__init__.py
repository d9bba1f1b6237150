"""Network architectures, their weights and their checkpoints."""
