"""Find similar 256-bit picture hashes by Hamming distance, without comparing all pairs."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError

WORDS, CHUNKS = 4, 16
"""Number of 64-bit words and of 16-bit chunks in a hash of 256 bits."""
BLOCK = 2048
"""Number of hashes that are looked up at once."""
_FLIPS = np.array([0, *(1 << bit for bit in range(16))], dtype=np.uint16)
"""Masks that change a 16-bit chunk in no bit or in one bit."""


class HashIndex:
    """Index 256-bit hashes, to find all indexed hashes within a Hamming distance.

    Multi-index hashing (Norouzi+2012, doi:10.1109/CVPR.2012.6248043, section 3): of two hashes that
    differ in at most 31 bits, one of the 16 chunks differs in at most one bit. Only hashes with
    such a chunk can be near, and only for these all 256 bits are compared.

    Parameters
    ----------
    hashes : ndarray of uint64
        Shape (n, 4).

    Raises
    ------
    InputError
        The hashes have another shape.
    """

    def __init__(self, hashes: npt.NDArray[np.uint64]) -> None:
        if hashes.ndim != 2 or hashes.shape[1] != WORDS:
            raise InputError("hashes", rule=f"have {WORDS} words each", found=hashes.shape)
        self.hashes = np.ascontiguousarray(hashes)

    def __len__(self) -> int:
        return len(self.hashes)

    @cached_property
    def _buckets(self) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]]:
        """Return, for each 16-bit chunk, the rows sorted by value and where each value begins."""
        buckets = []
        for values in _chunks(self.hashes).T:
            # an array of rows sorted by this chunk of their hashes needs less memory than a Python
            # list of rows for each of the 65,536 values
            starts = np.concatenate([[0], np.cumsum(np.bincount(values, minlength=2**16))])
            buckets.append((starts, np.argsort(values, kind="stable")))
        return buckets

    def near(self, hashes: npt.NDArray[np.uint64], distance: int) -> npt.NDArray[np.bool_]:
        """Return which of m hashes, shape (m, 4), are within a distance of any indexed hash.

        Raises
        ------
        InputError
            The distance is not in 0…31 bits, for which the index is exact.

        Examples
        --------
        >>> index = HashIndex(np.zeros((1, 4), dtype=np.uint64))
        >>> index.near(np.array([[3, 0, 0, 0], [15, 0, 0, 0]], dtype=np.uint64), 2).tolist()
        [True, False]
        """
        _require_exact(distance)
        met = np.zeros(len(hashes), dtype=bool)
        for first in range(0, len(hashes) if len(self) else 0, BLOCK):
            met[first : first + BLOCK] = self._near(hashes[first : first + BLOCK], distance)
        return met

    def pairs(self, distance: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return the row pairs of indexed hashes within a distance, the smaller row first.

        Raises
        ------
        InputError
            The distance is not in 0…31, for which the index is exact.
        """
        _require_exact(distance)
        met = [np.empty((0, 2), dtype=np.intp)]
        for first in range(0, len(self), BLOCK):
            hashes = self.hashes[first : first + BLOCK]
            for chunk in range(CHUNKS):
                query, row = self._within(hashes, np.arange(len(hashes)), chunk, distance)
                query = query + first
                # the search finds a pair from both of its hashes, and once for each similar 16-bit
                # chunk of theirs, so keep each pair once
                met.append(np.column_stack([query, row])[query < row])
        rows = np.unique(np.concatenate(met), axis=0)
        return rows[:, 0], rows[:, 1]

    def _near(self, hashes: npt.NDArray[np.uint64], distance: int) -> npt.NDArray[np.bool_]:
        """Return which of m hashes are within `distance` bits of an indexed hash, shape (m,)."""
        met = np.zeros(len(hashes), dtype=bool)
        # search only for hashes that no earlier 16-bit chunk has matched
        for chunk in range(CHUNKS):
            met[self._within(hashes, np.flatnonzero(~met), chunk, distance)[0]] = True
        return met

    def _within(
        self, hashes: npt.NDArray[np.uint64], asked: npt.NDArray[np.intp], chunk: int, distance: int
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return two arrays: rows of given hashes, and rows of the indexed hashes similar to them.

        Two hashes are similar if they differ in at most `distance` of all 256 bits, and in at most
        one of the 16 bits of chunk number `chunk`.
        """
        starts, rows = self._buckets[chunk]
        # look up 17 values per hash: the chunk itself, and the 16 values that differ from it in one
        # bit, because hashes of similar pictures differ by at most one bit in some chunk
        wanted = (_chunks(hashes)[asked, chunk][:, None] ^ _FLIPS).astype(np.intp)
        begin, count = starts[wanted].ravel(), (starts[wanted + 1] - starts[wanted]).ravel()
        # for every looked-up value, list the places begin…begin + count − 1 of its hashes with
        # NumPy, because a Python loop would be slow
        query = np.repeat(np.repeat(asked, len(_FLIPS)), count)
        place = (
            np.arange(len(query))
            - np.repeat(np.cumsum(count) - count, count)
            + np.repeat(begin, count)
        )
        # until here only one chunk of 16 bits was compared, so now compare all 256 bits
        differ = np.bitwise_count(self.hashes[rows[place]] ^ hashes[query]).sum(1, dtype=np.int64)
        return query[differ <= distance], rows[place[differ <= distance]]


def _require_exact(distance: int) -> None:
    """Refuse a distance above 31 bits, because the index would then miss some near hashes."""
    if not 0 <= distance < 2 * CHUNKS:
        raise InputError("distance of hashes", rule=f"lie in 0…{2 * CHUNKS - 1}", found=distance)


def _chunks(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint16]:
    """Return the 16 chunks of 16 bits of each 256-bit hash, shape (n, 16)."""
    return np.ascontiguousarray(hashes).view(np.uint16).reshape(len(hashes), CHUNKS)
