"""Collect computed embeddings in memory, and write them to the store many at a time."""

from __future__ import annotations

import numpy as np

from gzfeatures.features.vector_cache import VectorCache
from gzfeatures.networks.extraction.plan import Vectors


class Pending:
    """Collect embeddings of one network, layer and crop until they are written to the store."""

    def __init__(self, cache: VectorCache) -> None:
        self.cache, self.stored = cache, 0
        self._keys: list[str] = []
        self._parts: list[Vectors] = []

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, keys: list[str], vectors: Vectors) -> None:
        """Add embeddings to those waiting to be stored; `keys` are the sha256 of their images."""
        self._keys += keys
        self._parts.append(vectors)

    def flush(self) -> None:
        """Write the waiting embeddings to the store, as one file (shard)."""
        # empty the lists before writing: if the disk is full, the next call must not try the same
        # vectors again
        keys, parts = self._keys, self._parts
        self._keys, self._parts = [], []
        if keys:
            self.cache.add(keys, np.concatenate(parts))
            self.stored += len(keys)
