"""Layout: the forces of UMAP, on all cores and yet the same for the same seed.

UMAP moves both ends of an edge at once, so that threads would race, and a seeded run keeps to one core. Here every
galaxy moves by itself against the places all others had at the end of the last epoch (as in uwot's batch mode), with
random numbers of its own made from seed, epoch and galaxy: the number of threads cannot change the result.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
REPELLED = 5
"""Galaxies drawn at random to be pushed away from, per pull along an edge: UMAP's negative sample rate."""

SHARED_BEYOND = 4000
"""Galaxies beyond which an epoch is long enough to be shared among cores."""


def laid_out(
    graph: Any, start: npt.NDArray[np.float32], a: float, b: float, *, epochs: int, seed: int
) -> npt.NDArray[np.float32]:
    """Move galaxies until neighbours lie together.

    Parameters
    ----------
    graph : scipy sparse matrix
        Symmetric strengths of edges in [0, 1], shape (n, n).
    start : ndarray of float32
        First places, shape (n, 2 or 3).
    a, b : float
        Of the curve 1 / (1 + a d^2b) between distance and strength (McInnes+2018, arXiv:1802.03426, section 3.2).
    epochs : int
        Steps; the strongest edges pull in each, weaker ones in proportion.
    seed : int
        Of the random galaxies pushed away from.

    Returns
    -------
    ndarray of float32
        Places, of the shape of `start`.
    """
    edges = graph.tocsr()
    edges.data[edges.data < edges.data.max() / epochs] = 0
    edges.eliminate_zeros()
    share = (edges.data / edges.data.max()).astype(np.float32)
    here = np.zeros((len(start), 3), dtype=np.float32)
    here[:, : start.shape[1]] = 10 * (start - start.min(0)) / np.ptp(start, axis=0)
    there = np.empty_like(here)
    step, f = _compiled(len(start) > SHARED_BEYOND), np.float32
    for epoch in range(epochs):
        step(here, there, edges.indptr, edges.indices, share, f(a), f(b), f(1 - epoch / epochs), REPELLED, seed, epoch)
        here, there = there, here
    return here[:, : start.shape[1]].copy()


@cache
def _compiled(parallel: bool) -> Any:
    return numba.njit(parallel=parallel, fastmath=True, error_model="numpy")(_step)


def _step(
    here: Array, there: Array, bounds: Array, ends: Array, share: Array, a: Any, b: Any, rate: Any, repelled: int,
    seed: int, epoch: int,
) -> None:  # fmt: skip
    """One epoch: each galaxy's pulls and pushes, one after the other, each at most 4 × rate along an axis."""
    n = len(here)
    one, two, most, near = np.float32(1), np.float32(2), np.float32(4), np.float32(0.001)
    for i in numba.prange(n):
        # xorshift64*, begun from seed, epoch and galaxy
        state = np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(epoch) * np.uint64(0xD1B54A32D192ED03)
        state += np.uint64(i + 1) * np.uint64(0x2545F4914F6CDD1D)
        x, y, z = here[i, 0], here[i, 1], here[i, 2]
        for edge in range(bounds[i], bounds[i + 1]):
            if int((epoch + 1) * share[edge]) == int(epoch * share[edge]):
                continue
            j = ends[edge]
            dx, dy, dz = x - here[j, 0], y - here[j, 1], z - here[j, 2]
            square = dx * dx + dy * dy + dz * dz
            if square > 0:
                power = square**b
                pull = -two * a * b * power / (square * (one + a * power))
                x += rate * min(most, max(-most, pull * dx))
                y += rate * min(most, max(-most, pull * dy))
                z += rate * min(most, max(-most, pull * dz))
            for _ in range(repelled):
                state ^= state >> np.uint64(12)
                state ^= state << np.uint64(25)
                state ^= state >> np.uint64(27)
                j = np.int64((state * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(33)) % n
                if j == i:
                    continue
                dx, dy, dz = x - here[j, 0], y - here[j, 1], z - here[j, 2]
                square = dx * dx + dy * dy + dz * dz
                push = two * b / ((near + square) * (one + a * square**b))
                x += rate * min(most, max(-most, push * dx))
                y += rate * min(most, max(-most, push * dy))
                z += rate * min(most, max(-most, push * dz))
        there[i, 0], there[i, 1], there[i, 2] = x, y, z
