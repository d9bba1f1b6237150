"""Compute perceptual hashes of decoded pictures, and write the hashes to the store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gzfeatures.features.vector_cache import VectorCache
from gzfeatures.images.galaxy_files import NetworkInput
from gzfeatures.images.galaxy_image import hash_of
from gzfeatures.images.view import View

HASHES = 2**16
"""Number of picture hashes kept in memory until they are written to a file: 10 MB."""


class PictureHashes:
    """Collect perceptual hashes of pictures until they are written to the store.

    Parameters
    ----------
    cache : VectorCache, optional
        Folder with stored hashes of pictures; None to compute no hashes.
    """

    def __init__(self, cache: VectorCache | None) -> None:
        self.cache = cache
        self._fresh: dict[str, bytes] = {}
        self._stored: set[str] = set()

    def skip_stored(self, digests: npt.NDArray[np.object_]) -> None:
        """Make `add_missing` skip those of the given pictures whose hash is already stored."""
        if self.cache is not None:
            self._stored = set(digests[self.cache.has(digests)])

    def add_missing(self, digest: str, image: NetworkInput, views: Sequence[View]) -> None:
        """Hash a decoded picture and keep the hash for `flush`, unless one is stored already."""
        if self.cache is not None and digest not in self._stored:
            self.add(digest, hash_of(image, views))

    def add(self, digest: str, hash_: bytes) -> None:
        """Add a picture's hash to those waiting to be stored."""
        self._fresh[digest] = hash_

    def flush_when_full(self) -> None:
        """Write the waiting hashes to the store if `HASHES` or more are waiting."""
        if len(self._fresh) >= HASHES:
            self.flush()

    def flush(self) -> None:
        """Write to the store the picture hashes that were added since the last call."""
        keys = list(self._fresh)
        if self.cache is not None and keys:
            hashed = np.frombuffer(b"".join(self._fresh.pop(key) for key in keys), dtype=np.uint8)
            self.cache.add(keys, hashed.reshape(len(keys), -1).astype(np.float32))

    def of(self, digests: npt.NDArray[np.object_]) -> npt.NDArray[np.uint8] | None:
        """Return the stored hashes of pictures, shape (n, 64); None if no hashes are stored."""
        return None if self.cache is None else self.cache.vectors(digests).astype(np.uint8)
