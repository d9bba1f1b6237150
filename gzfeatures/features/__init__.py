"""List backbones (networks); store their embeddings of galaxy images in tables and in a cache.

No module of this folder imports torch.
"""
