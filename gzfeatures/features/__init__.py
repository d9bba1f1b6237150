"""Describe backbones; keep embeddings of galaxy images in tables and in a cache on disk.

No module of this folder imports torch.
"""
