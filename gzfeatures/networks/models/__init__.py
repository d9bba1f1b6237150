"""Define network architectures, and load their weights."""
