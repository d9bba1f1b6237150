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
QUERIES = 1024
"""Queries compared with a block of rows at once."""
SPARE = 16
"""Candidates kept beyond k where a product picks them, which rounds where differences do not."""


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
        Neighbours per query; there are at least as many rows, besides the query's own.
    own : ndarray of int, optional
        Row of each query, shape (m,): nobody is their own neighbour.
    metric : {"euclidean", "cosine"}
        How rows are compared: `cosine` measures the chord between directions.

    Returns
    -------
    rows : ndarray of int64
        Shape (m, k), nearest first; of equal distances the earlier row.
    distances : ndarray of float64
        Shape (m, k).

    Raises
    ------
    InputError
        A value is not finite, or a row has no direction (`cosine`).

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
        # test the sum first: it needs less memory than a mask of all numbers, and if it is finite,
        # no number is NaN or infinite
        if not np.isfinite(block.sum()) and not np.isfinite(block).all():
            raise InputError("embedding is not finite", rule="be finite", where=f"row {start}…")
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


def _of_block(
    block: Matrix, queries: npt.NDArray[np.float64], k: int, own: npt.NDArray[np.intp] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return near rows of a block for each query, (m, ≤ k + `SPARE`), with squared distances."""
    kept = min(len(block), k + (own is not None))
    if len(queries) <= FEW:
        whole = np.stack([_squares(block, query) for query in queries])
        candidates = np.argpartition(whole, kept - 1, axis=1)[:, :kept]
        exact = np.take_along_axis(whole, candidates, axis=1)
    else:
        # rank rows x by ‖x‖² − 2 x·q, which is ‖x − q‖² without the constant ‖q‖²: a matrix product
        # needs less memory than all differences
        centre = block.mean(0, dtype=np.float64).astype(np.float32)
        moved, asked = block - centre, (queries - centre).astype(np.float32)
        rough = (moved**2).sum(1) - 2 * (asked @ moved.T)
        kept = min(len(block), kept + SPARE)
        candidates = np.argpartition(rough, kept - 1, axis=1)[:, :kept]
        exact = np.stack(
            [_squares(block[rows], q) for rows, q in zip(candidates, queries, strict=True)]
        )
    if own is not None:
        exact[candidates == own[:, None]] = np.inf
    return candidates.astype(np.int64), exact


def _squares(rows: Matrix, query: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return squared distances of rows from a query, shape (r,), computed from differences."""
    difference = rows - query.astype(np.float32)
    return np.asarray(np.einsum("ij,ij->i", difference, difference), dtype=np.float64)


def _nearest_of(
    rows: npt.NDArray[np.int64], squares: npt.NDArray[np.float64], k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the k candidate rows of smallest distance, sorted by distance and row number."""
    order = np.lexsort((rows, squares), axis=1)[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(squares, order, axis=1)
