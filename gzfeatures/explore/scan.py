"""Find the nearest neighbours of a few galaxies in a large table that is read only once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.explore.feature_space import unit_rows

Matrix = npt.NDArray[np.float32]
FEW = 4
"""Most queries for which every difference is taken; for more, a matrix product picks candidates."""
LONGEST = 1e18
"""Length from which squared distances of two vectors may exceed single precision."""
QUERIES = 1024
"""Queries compared with a block of rows at once."""
ROUNDING = 4e-6
"""Relative error of squared distances that a product in single precision may have."""
SPARE = 16
"""Candidates kept in addition to k, because the product that picks them has rounding errors."""


def scan(
    blocks: Iterable[Matrix],
    queries: Matrix,
    k: int,
    *,
    own: npt.NDArray[np.intp] | None = None,
    metric: str = "euclidean",
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Find the k nearest rows of each query vector, while rows are read once, block by block.

    Parameters
    ----------
    blocks : iterable of ndarray of float32
        The rows in order, each block of shape (r, d), finite.
    queries : ndarray of float32
        Shape (m, d), finite.
    k : int
        Neighbours per query; the blocks have at least k rows, not counting the query's own.
    own : ndarray of int, optional
        Row of each query, shape (m,), which is left out of the query's neighbours.
    metric : {"euclidean", "cosine"}
        How rows are compared: `cosine` measures the chord between directions.

    Returns
    -------
    rows : ndarray of int64
        Shape (m, k), nearest first; among equal distances, the earlier row is first.
    distances : ndarray of float64
        Shape (m, k).

    Raises
    ------
    InputError
        A value is not finite, a vector is too long to be compared in single precision, or a row has
        no direction (`cosine`).

    Examples
    --------
    >>> line = np.arange(5, dtype=np.float32)[:, None]
    >>> scan([line[:3], line[3:]], line[2:3], 2, own=np.array([2]))[0]
    array([[1, 3]])
    """
    wanted = unit_rows(queries, metric).astype(np.float64)
    rows = np.zeros((len(wanted), 0), dtype=np.int64)
    squares = np.zeros((len(wanted), 0))
    start = 0
    for block in blocks:
        require_lengths(block, start)
        compared = unit_rows(block, metric, first_row=start)
        for first in range(0, len(wanted), QUERIES):
            part = slice(first, first + QUERIES)
            mine = None if own is None else own[part] - start
            found, near = _of_block(compared, wanted[part], k, mine)
            if first == 0:
                merged_rows = np.empty((len(wanted), rows.shape[1] + found.shape[1]), np.int64)
                merged = np.empty(merged_rows.shape)
            merged_rows[part] = np.hstack([rows[part], found + start])
            merged[part] = np.hstack([squares[part], near])
        rows, squares = _nearest_of(merged_rows, merged, k)
        start += len(block)
    return rows, np.sqrt(squares)


def require_lengths(block: Matrix, first_row: int) -> None:
    """Refuse vectors with NaN or infinity, or a norm whose square could overflow.

    Parameters
    ----------
    block : ndarray of float32
        Shape (r, d).
    first_row : int
        Row number of the first vector, for the error message.

    Raises
    ------
    InputError
        A value is not finite, or a length is not below `LONGEST`.
    """
    with np.errstate(over="ignore"):
        lengths = np.einsum("ij,ij->i", block, block)
    # every comparison with NaN is false, so "not below the limit" finds NaN too
    if (wrong := ~(lengths < LONGEST**2)).any():
        row = int(np.argmax(wrong))
        finite = bool(np.isfinite(block[row]).all())
        raise InputError(
            "embedding is too long" if finite else "embedding is not finite",
            where=f"row {first_row + row}",
            rule=f"have a length below {LONGEST:g}" if finite else "be finite",
        )


def _of_block(
    block: Matrix, queries: npt.NDArray[np.float64], k: int, own: npt.NDArray[np.intp] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the nearest rows of a block for each query, (m, ≤ k + 1), with squared distances."""
    kept = min(len(block), k + (own is not None))
    if len(queries) <= FEW:
        found = [_nearest_among(block, None, query, kept) for query in queries]
    else:
        # rank rows x by ‖x‖² − 2 x·q, which is ‖x − q‖² without the constant ‖q‖²: a matrix product
        # needs less memory than all differences
        centre = block.mean(0, dtype=np.float64).astype(np.float32)
        moved, asked = block - centre, (queries - centre).astype(np.float32)
        rough = (moved**2).sum(1) - 2 * (asked @ moved.T)
        lengths = np.linalg.norm(asked, axis=1)
        near = (_candidates(*each, kept) for each in zip(rough, lengths, strict=True))
        found = [_nearest_among(block, *each, kept) for each in zip(near, queries, strict=True)]
    candidates, exact = (np.stack(each) for each in zip(*found, strict=True))
    if own is not None:
        exact[candidates == own[:, None]] = np.inf
    return candidates, exact


def _candidates(rough: npt.NDArray[np.float32], length: float, count: int) -> npt.NDArray[np.int64]:
    """Return rows that may be nearest to a query, from squared distances with rounding errors.

    All rows as near as the last candidate are returned too: rounding errors then never choose
    between rows at equal distances.
    """
    last = min(len(rough), count + SPARE) - 1
    limit = float(np.partition(rough, last)[last])
    # a row whose distance to the query is at this limit has at most this norm (triangle
    # inequality); rounding errors grow with the square of the norm
    longest = length + np.sqrt(max(0.0, limit + length**2))
    return np.flatnonzero(rough <= limit + ROUNDING * longest**2)


def _nearest_among(
    block: Matrix, rows: npt.NDArray[np.int64] | None, query: npt.NDArray[np.float64], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the `count` nearest of the given rows (None: all), and their squared distances.

    Among equal distances, the earlier rows are kept.
    """
    far = squared_distances(block if rows is None else block[rows], query)
    limit = np.partition(far, count - 1)[count - 1]
    nearer = np.flatnonzero(far < limit)
    equal = np.flatnonzero(far == limit)[: count - len(nearer)]
    chosen = np.concatenate([nearer, equal])
    return (chosen if rows is None else rows[chosen]), far[chosen]


def squared_distances(rows: Matrix, query: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return squared distances of rows from a query, shape (r,), computed from differences."""
    difference = rows - query.astype(np.float32)
    return np.asarray(np.einsum("ij,ij->i", difference, difference), dtype=np.float64)


def _nearest_of(
    rows: npt.NDArray[np.int64], squares: npt.NDArray[np.float64], k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the k candidate rows of smallest distance, sorted by distance and row number."""
    order = np.lexsort((rows, squares), axis=1)[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(squares, order, axis=1)
