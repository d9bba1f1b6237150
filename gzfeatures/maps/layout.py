"""Compute UMAP's layout of galaxies on all cores; the same seed gives the same result.

UMAP moves both ends of an edge at once, so that threads would race, and a seeded run uses one core.
Here every galaxy is moved alone, by forces from the positions at the end of the last epoch (as in
uwot's batch mode). Its random numbers depend on seed, epoch and galaxy, so the number of threads
cannot change the result. Forces depend on the distance alone and are read from a table, which takes
a fifth of the time of computing their powers.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from gzfeatures.progress import SILENT, Progress, each

Array = npt.NDArray[Any]
REPELLED = 5
"""Number of random galaxies that repel a galaxy per attraction (UMAP's negative sample rate)."""

SHARED_BEYOND = 4000
"""Number of galaxies above which the cores share an epoch."""

CUT = 17
"""Bits of a float32 that the force tables ignore, which leaves 64 entries per factor of two."""

INFINITE = 0x7F800000
"""Bit pattern of infinity as float32, above all finite numbers."""


def laid_out(
    graph: Any,
    first: npt.NDArray[np.float32],
    a: float,
    b: float,
    *,
    epochs: int,
    seed: int,
    progress: Progress = SILENT,
) -> npt.NDArray[np.float32]:
    """Move galaxies on the map for a number of epochs, so that similar galaxies come together.

    Parameters
    ----------
    graph : scipy sparse matrix
        Symmetric strengths of edges in [0, 1], shape (n, n).
    first : ndarray of float32
        Positions before the first epoch, shape (n, 2 or 3).
    a, b : float
        Parameters of the curve 1 / (1 + a d^2b) between distance and strength (McInnes+2018,
        arXiv:1802.03426, section 3.2).
    epochs : int
        Number of steps; the strongest edges act in every step, weaker edges in fewer.
    seed : int
        Seed of the choice of random galaxies that repel a galaxy.
    progress : Progress
        Shows the epochs; by default nowhere.

    Returns
    -------
    ndarray of float32
        Positions after the last epoch, in the shape of `first`.
    """
    edges = graph.tocsr()
    # remove edges (pairs of similar galaxies) weaker than 1 / `epochs` of the strongest edge: they
    # would attract no galaxy in any epoch
    edges.data[edges.data < edges.data.max() / epochs] = 0
    edges.eliminate_zeros()
    share = (edges.data / edges.data.max()).astype(np.float32)
    places = np.zeros((len(first), 3), dtype=np.float32)
    places[:, : first.shape[1]] = 10 * (first - first.min(0)) / np.ptp(first, axis=0)
    moved = np.empty_like(places)
    step, (pull, push) = _compiled(len(first) > SHARED_BEYOND), forces(a, b)
    for epoch in each(range(epochs), progress, "layout", epochs, transient=True):
        rate = np.float32(1 - epoch / epochs)
        step(
            places,
            moved,
            edges.indptr,
            edges.indices,
            share,
            pull,
            push,
            rate,
            REPELLED,
            seed,
            epoch,
        )
        places, moved = moved, places
    return places[:, : first.shape[1]].copy()


def forces(a: float, b: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return tables of UMAP's attraction and repulsion (force / distance) by squared distance s.

    They are −2ab s^(b−1) / (1 + a s^b) and 2b / ((0.001 + s) (1 + a s^b)). Entry i stands for all s
    whose float32 has i in its upper bits, and is computed at the middle of this range. Forces
    between galaxies at the same place are 0, as in UMAP.
    """
    middles = (np.arange(INFINITE >> CUT, dtype=np.uint32) << CUT) + np.uint32(1 << (CUT - 1))
    square = middles.view(np.float32).astype(np.float64)
    power = square**b
    pull = -2 * a * b * power / (square * (1 + a * power))
    push = 2 * b / ((0.001 + square) * (1 + a * power))
    return np.maximum(pull, -1e30).astype(np.float32), push.astype(np.float32)


@cache
def _compiled(parallel: bool) -> Any:
    return numba.njit(parallel=parallel, error_model="numpy", cache=True)(_step)


def _step(
    before: Array, after: Array, bounds: Array, ends: Array, share: Array, pull: Array, push: Array,
    rate: Any, repelled: int, seed: int, epoch: int,
) -> None:  # fmt: skip
    """Move each galaxy once: attracted along graph edges, repelled by random galaxies.

    Attraction and repulsions of an edge all use the galaxy's position before them: so the processor
    can compute them at once, in half the time.
    """
    n = len(before)
    most = np.float32(4)
    for i in numba.prange(n):
        # each galaxy and epoch has its own random numbers, so the layout does not depend on the
        # number of threads: xorshift64* (Vigna 2016, doi:10.1145/2845077)
        state = np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(epoch) * np.uint64(
            0xD1B54A32D192ED03
        )
        state += np.uint64(i + 1) * np.uint64(0x2545F4914F6CDD1D)
        x, y, z = before[i, 0], before[i, 1], before[i, 2]
        for edge in range(bounds[i], bounds[i + 1]):
            # an edge of weight w (0 … 1) acts in a share w of the epochs, evenly spaced: skip this
            # epoch if floor(w · epoch) does not grow (McInnes+2018, algorithm 5)
            if int((epoch + 1) * share[edge]) == int(epoch * share[edge]):
                continue
            right, up, out = np.float32(0), np.float32(0), np.float32(0)
            for number in range(repelled + 1):
                if number == 0:
                    j = np.int64(ends[edge])
                else:
                    state ^= state >> np.uint64(12)
                    state ^= state << np.uint64(25)
                    state ^= state >> np.uint64(27)
                    # choose a random galaxy j that repels this one: scale 32 random bits to 0 … n −
                    # 1
                    j = np.int64(
                        ((state * np.uint64(0x2545F4914F6CDD1D) >> np.uint64(32)) * np.uint64(n))
                        >> np.uint64(32)
                    )
                    if j == i:
                        continue
                dx, dy, dz = x - before[j, 0], y - before[j, 1], z - before[j, 2]
                square = dx * dx + dy * dy + dz * dz
                # read the force from the table: the leading bits of the squared distance are the
                # index
                place = np.float32(square).view(np.uint32) >> np.uint32(CUT)
                force = pull[place] if number == 0 else push[place]
                right += min(most, max(-most, force * dx))
                up += min(most, max(-most, force * dy))
                out += min(most, max(-most, force * dz))
            x, y, z = x + rate * right, y + rate * up, z + rate * out
        # write to a second array, because other threads still read the positions before this epoch
        after[i, 0], after[i, 1], after[i, 2] = x, y, z
