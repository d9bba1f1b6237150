"""HashIndex: every stored hash within a Hamming distance of a given one, found exactly."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError

WORDS, CHUNKS = 4, 16
"""64-bit words and 16-bit chunks of a hash of 256 bits."""
BLOCK = 2048
"""Hashes looked up at a time."""
_FLIPS = np.array([0, *(1 << bit for bit in range(16))], dtype=np.uint16)
"""What changes a chunk in at most one bit."""


class HashIndex:
    """Hashes of 256 bits, searched by multi-index hashing (Norouzi+2012, doi:10.1109/CVPR.2012.6248043, section 3).

    Of two hashes that differ in at most 31 bits, one of the 16 chunks differs in at most one: the
    candidates that share such a chunk are all that can be near, and their distance is computed in
    full.

    Parameters
    ----------
    hashes : ndarray of uint64
        Shape (n, 4).

    Raises
    ------
    InputError
        The shape is another.
    """

    def __init__(self, hashes: npt.NDArray[np.uint64]) -> None:
        if hashes.ndim != 2 or hashes.shape[1] != WORDS:
            raise InputError("hashes", rule=f"have {WORDS} words each", found=hashes.shape)
        self.hashes = np.ascontiguousarray(hashes)

    def __len__(self) -> int:
        return len(self.hashes)

    @cached_property
    def _buckets(self) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]]:
        """For each chunk where the rows with each value begin, shape (65537,), and the rows by value."""
        made = []
        for values in _chunks(self.hashes).T:
            starts = np.concatenate([[0], np.cumsum(np.bincount(values, minlength=2**16))])
            made.append((starts, np.argsort(values, kind="stable")))
        return made

    def near(self, hashes: npt.NDArray[np.uint64], distance: int) -> npt.NDArray[np.bool_]:
        """Which of some hashes, shape (m, 4), are within `distance` bits of a stored one; shape (m,).

        Raises
        ------
        InputError
            The distance is not in 0…31, for which the index is exact.
        """
        _require_exact(distance)
        met = np.zeros(len(hashes), dtype=bool)
        for first in range(0, len(hashes) if len(self) else 0, BLOCK):
            met[first : first + BLOCK] = self._near(hashes[first : first + BLOCK], distance)
        return met

    def pairs(self, distance: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Rows of all pairs of stored hashes within `distance` bits, the smaller row first; shape (pairs,) each.

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
                met.append(np.column_stack([query, row])[query < row])
        rows = np.unique(np.concatenate(met), axis=0)
        return rows[:, 0], rows[:, 1]

    def _near(self, hashes: npt.NDArray[np.uint64], distance: int) -> npt.NDArray[np.bool_]:
        met = np.zeros(len(hashes), dtype=bool)
        for chunk in range(CHUNKS):
            met[self._within(hashes, np.flatnonzero(~met), chunk, distance)[0]] = True
        return met

    def _within(
        self, hashes: npt.NDArray[np.uint64], asked: npt.NDArray[np.intp], chunk: int, distance: int
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Rows of asked hashes and of stored ones that share a chunk, but for a bit, and are within the distance."""
        starts, rows = self._buckets[chunk]
        wanted = (_chunks(hashes)[asked, chunk][:, None] ^ _FLIPS).astype(np.intp)
        begin, count = starts[wanted].ravel(), (starts[wanted + 1] - starts[wanted]).ravel()
        query = np.repeat(np.repeat(asked, len(_FLIPS)), count)
        place = (
            np.arange(len(query))
            - np.repeat(np.cumsum(count) - count, count)
            + np.repeat(begin, count)
        )
        differ = np.bitwise_count(self.hashes[rows[place]] ^ hashes[query]).sum(1, dtype=np.int64)
        return query[differ <= distance], rows[place[differ <= distance]]


def _require_exact(distance: int) -> None:
    if not 0 <= distance < 2 * CHUNKS:
        raise InputError("distance of hashes", rule=f"lie in 0…{2 * CHUNKS - 1}", found=distance)


def _chunks(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint16]:
    """16 chunks of each hash, shape (n, 16)."""
    return np.ascontiguousarray(hashes).view(np.uint16).reshape(len(hashes), CHUNKS)
