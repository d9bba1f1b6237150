"""Measure how well a map preserves the neighbourhoods of embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.explore.neighbours import nearest

SAMPLE = 1000
"""Number of galaxies for which neighbourhoods are scored.

With it, a trustworthiness of 0.93 has a standard error of 0.002, one of 0.99 of 0.0001."""

CENTRED = 2**14
"""Number of rows whose mean is subtracted at a time."""
BLOCK = 128


def neighbourhoods(
    vectors: npt.NDArray[np.float32],
    coordinates: npt.NDArray[np.float32],
    k: int = 15,
    *,
    sample: int = SAMPLE,
    seed: int = 0,
) -> dict[str, float]:
    """Measure how many neighbours of galaxies on the map are also neighbours in the embeddings.

    Parameters
    ----------
    vectors : ndarray of float32
        Embeddings of the galaxies on the map, shape (n, d).
    coordinates : ndarray of float32
        Positions on the map, shape (n, 2 or 3).
    k : int
        Number of neighbours; at most (n − 1) / 2, to which it is lowered for a small table.
    sample : int
        Number of galaxies scored, drawn with `seed`; their neighbours are searched among all n
        galaxies, so the mean is unbiased.

    Returns
    -------
    dict
        `trustworthiness` in [0, 1]: 1 − the mean penalty of false neighbours (among the k nearest
        on the map, but not in the embeddings), which grows with their rank in the embeddings
        (Venna & Kaski 2001, doi:10.1007/3-540-44668-0_68, eq. 1). `knn_preservation` in [0, 1]:
        share of the k nearest in the embeddings that are among the k nearest on the map.
        `quality_k`, `quality_sample`: number of neighbours and of galaxies used.
    """
    n = len(vectors)
    k = max(1, min(k, (n - 1) // 2))
    sampled = np.sort(np.random.default_rng(seed).permutation(n)[:sample])
    mean = vectors.mean(0, dtype=np.float64)
    penalty, preserved = 0.0, 0
    on_map = nearest(coordinates, coordinates[sampled], k, own=sampled, exact_up_to=n).rows
    for start in range(0, len(sampled), BLOCK):
        rows = sampled[start : start + BLOCK]
        distances = _distances(vectors, rows, mean)
        # give each galaxy rank 0 among its own neighbours, so that its nearest neighbour has rank 1
        distances[np.arange(len(rows)), rows] = -np.inf
        for row, near in zip(distances, on_map[start : start + BLOCK], strict=True):
            ranks = np.array([np.count_nonzero(row < reach) for reach in row[near]])
            penalty += np.maximum(ranks - k, 0).sum()
            preserved += int((ranks <= k).sum())
    worst = len(sampled) * k * (2 * n - 3 * k - 1) / 2
    return {
        "trustworthiness": float(1 - penalty / worst) if worst > 0 else 1.0,
        "knn_preservation": preserved / (len(sampled) * k),
        "quality_k": float(k),
        "quality_sample": float(len(sampled)),
    }


def _distances(
    vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], mean: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return squared distances between some rows and all, less a number per row, (r, n)."""
    distances = np.empty((len(rows), len(vectors)))
    wanted = (vectors[rows] - mean).astype(np.float32)
    for start in range(0, len(vectors), CENTRED):
        # subtract the mean, which changes no distance: products of vectors far from 0 would lose
        # their differences in single precision. Do it in parts: a large table has no room for a
        # copy
        part = (vectors[start : start + CENTRED] - mean).astype(np.float32)
        # |x − y|² = |x|² − 2 x·y + |y|²: leave out |x|², which is the same for all neighbours y of
        # a galaxy x and does not change their ranks
        squares = np.einsum("ij,ij->i", part, part, dtype=np.float64)
        distances[:, start : start + CENTRED] = squares - 2.0 * (wanted @ part.T)
    return distances


def silhouettes(
    coordinates: npt.NDArray[np.float32],
    codes: npt.NDArray[np.int64],
    classes: tuple[str, ...],
    *,
    sample: int = 5000,
    seed: int = 0,
) -> dict[str, float]:
    """Compute each class's mean silhouette on the map: how well classes separate, −1 to 1.

    Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7.

    Parameters
    ----------
    coordinates : ndarray of float32
        Shape (n, d).
    codes : ndarray of int64
        Class of each galaxy, shape (n,).
    classes : tuple of str
        Names of the codes.
    sample : int
        Largest number of galaxies used, drawn with `seed`.

    Returns
    -------
    dict
        Class → mean in [−1, 1], near 1 for a class far from all others. Classes with fewer than two
        sampled galaxies are left out; the dict is empty if fewer than two classes remain (a
        silhouette needs another class).
    """
    from sklearn.metrics import silhouette_samples

    rows = np.sort(np.random.default_rng(seed).permutation(len(codes))[:sample])
    counts = np.bincount(codes[rows], minlength=len(classes))
    rows = rows[counts[codes[rows]] > 1]
    present = np.unique(codes[rows])
    if len(present) < 2:
        return {}
    values = silhouette_samples(coordinates[rows], codes[rows])
    return {classes[code]: float(values[codes[rows] == code].mean()) for code in present}


def superposed(
    coordinates: npt.NDArray[np.float64], onto: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], float, npt.NDArray[np.float64], float, npt.NDArray[np.float64]]:
    """Compute how to rotate, mirror, scale and shift one set of points onto another (Procrustes).

    Parameters
    ----------
    coordinates, onto : ndarray
        Both of shape (n, d), row by row the same galaxies.

    Returns
    -------
    turn, scale, centre, disparity, target centre
        `(x − centre) @ turn * scale + target centre` lies on `onto`; disparity in [0, 1] is the
        share of the scatter of `onto` that stays unexplained (0: same shape).

    Raises
    ------
    InputError
        All points of a set coincide.
    """
    from scipy.linalg import orthogonal_procrustes

    centre, target = coordinates.mean(0), onto.mean(0)
    a, b = coordinates - centre, onto - target
    spread_a, spread_b = float((a**2).sum()), float((b**2).sum())
    if spread_a == 0 or spread_b == 0:
        raise InputError(
            "maps cannot be aligned",
            rule="have points that differ",
            remedy="share more galaxies",
        )
    turn, overlap = orthogonal_procrustes(a, b)
    # scipy.spatial.procrustes computes this disparity too, but does not return the scale and shift,
    # which are needed to move galaxies that only one map has
    disparity = float(np.clip(1 - overlap**2 / (spread_a * spread_b), 0, 1))
    return turn, float(overlap / spread_a), centre, disparity, target


def stability(
    coordinates: npt.NDArray[np.float32],
    others: Sequence[npt.NDArray[np.float32]],
    k: int = 15,
    *,
    seed: int = 0,
) -> dict[str, float]:
    """Measure how similar a map is to maps of the same galaxies made with different seeds.

    Parameters
    ----------
    coordinates : ndarray of float32
        Positions on the map, shape (n, d).
    others : sequence of ndarray
        Positions on the other maps, with the same galaxies in the same rows.
    k : int
        Number of neighbours.
    seed : int
        Seed of the galaxies that are scored.

    Returns
    -------
    dict
        Means over the other maps: `disparity` after Procrustes superposition in [0, 1] (0: same
        shape), and `knn_overlap` in [0, 1], the share of neighbours on the map that are neighbours
        on the other map too.
    """
    shapes = [
        superposed(other.astype(np.float64), coordinates.astype(np.float64))[3] for other in others
    ]
    shared = [
        neighbourhoods(coordinates, other, k, seed=seed)["knn_preservation"] for other in others
    ]
    return {"disparity": float(np.mean(shapes)), "knn_overlap": float(np.mean(shared))}
