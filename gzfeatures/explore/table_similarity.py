"""Compare the embeddings of the same galaxies in two tables: common neighbours, and CKA."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.ids import Ids, among, uniform

MOST_ROWS = 4000
"""Most galaxies that are compared: kernels take 8 bytes for each pair."""
Vectors = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class TableSimilarity:
    """Store how similar the embeddings in two tables are: share of common neighbours, and CKA.

    Parameters
    ----------
    rows : int
        Number of galaxies that were compared.
    shared : int
        Number of galaxies in both tables.
    neighbour_overlap : float
        Mean share of common neighbours (see `neighbour_overlap`).
    chance : float
        Share of common neighbours that unrelated tables have by chance.
    cka : float
        Linear centred kernel alignment (see `linear_cka`).
    """

    rows: int
    shared: int
    neighbour_overlap: float
    chance: float
    cka: float


def compare_tables(
    one: EmbeddingTable, other: EmbeddingTable, *, k: int = 10, seed: int = 0
) -> TableSimilarity:
    """Measure how similar the embeddings of two tables are, on the galaxies in both tables.

    Parameters
    ----------
    one, other : EmbeddingTable
        Embeddings of any two networks; galaxies are matched by id.
    k : int
        Number of neighbours.
    seed : int
        Seed of the sample that is drawn if more than `MOST_ROWS` galaxies are in both tables.

    Raises
    ------
    InputError
        Too few galaxies are in both tables, or all vectors of one are equal.
    """
    ids = one.ids[among(one.ids, other.ids)]
    shared = len(ids)
    ids = drawn_alike(ids, seed)
    if len(ids) <= max(k, 3):
        raise InputError(
            "galaxies in both tables", rule=f"be more than {max(k, 3)}", found=len(ids)
        )
    left, right = one.select(ids).matrix, other.select(ids).matrix
    return TableSimilarity(
        len(ids),
        shared,
        neighbour_overlap(left, right, k),
        k / (len(ids) - 1),
        linear_cka(left, right),
    )


def drawn_alike(ids: Ids, seed: int) -> Ids:
    """Draw a sample of at most `MOST_ROWS` ids, which depends only on the ids and the seed."""
    if len(ids) <= MOST_ROWS:
        return ids
    # the random numbers are computed from the ids, so that tables with the same ids get the same
    # sample
    return ids[np.sort(np.argsort(uniform(ids, seed))[:MOST_ROWS])]


def neighbour_overlap(one: Vectors, other: Vectors, k: int = 10) -> float:
    """Return the mean share of k nearest neighbours that two tables have in common.

    Mutual k-nearest-neighbour overlap (Huh+2024, arXiv:2405.07987, eq. 1), by Euclidean distance.

    Parameters
    ----------
    one, other : ndarray of float32
        Vectors of the same n galaxies in the same order, shapes (n, dim) and (n, other dim).
    k : int
        Number of neighbours, below n.

    Returns
    -------
    float
        In [0, 1]: 1 for equal neighbours, about k / (n - 1) for unrelated tables.

    Raises
    ------
    InputError
        The tables have different numbers of rows, or no more than k rows.

    Examples
    --------
    >>> points = np.arange(12, dtype=np.float32).reshape(6, 2) ** 2
    >>> neighbour_overlap(points, 3 * points, k=2)
    1.0
    """
    if len(one) != len(other) or not 0 < k < len(one):
        raise InputError(
            "tables to compare",
            rule=f"have the same galaxies, more than {k}",
            found=(len(one), len(other)),
        )
    shared = (
        len(np.intersect1d(first, second, assume_unique=True))
        for first, second in zip(nearest_rows(one, k), nearest_rows(other, k), strict=True)
    )
    return float(np.fromiter(shared, dtype=np.float64).mean() / k)


def nearest_rows(vectors: Vectors, k: int) -> npt.NDArray[np.int64]:
    """Return the row numbers of each galaxy's k nearest neighbours, shape (n, k)."""
    import faiss

    # subtract the mean, which changes no distance: in single precision, faiss's sums of squares
    # lose the differences between vectors that lie far from 0
    mean = np.mean(vectors, axis=0, dtype=np.float64)
    matrix = np.ascontiguousarray(vectors - mean, dtype=np.float32)
    index = faiss.IndexFlatL2(matrix.shape[1])
    index.add(matrix)
    found = index.search(matrix, k + 1)[1]
    # remove the galaxy itself by its row number: exact copies have distance 0 too, so it may not be
    # first, or be missing (then remove the last neighbour)
    rows = np.arange(len(matrix))[:, None]
    others = found != rows
    others[others.all(1), -1] = False
    return np.asarray(found[others].reshape(len(matrix), k))


def linear_cka(one: Vectors, other: Vectors) -> float:
    """Return the linear centred kernel alignment (CKA) of two tables of vectors.

    Kornblith+2019, arXiv:1905.00414, eq. 4, in its unbiased form (Song+2012, Murphy+2024,
    arXiv:2405.01012): the plain form grows to 1 for few galaxies and long vectors.

    Parameters
    ----------
    one, other : ndarray of float32
        Vectors of the same n galaxies in the same order, shapes (n, dim) and (n, other dim); n > 3.

    Returns
    -------
    float
        1 for tables that a rotation and a scale make equal, about 0 for unrelated ones.

    Raises
    ------
    InputError
        The tables differ in length, have fewer than 4 rows, or all vectors of one are equal.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    >>> round(linear_cka(points, 2 * points[:, ::-1]), 6)
    1.0
    """
    if len(one) != len(other) or len(one) < 4:
        raise InputError(
            "tables to compare",
            rule="have the same galaxies, at least 4",
            found=(len(one), len(other)),
        )
    kernels = [_kernel(table) for table in (one, other)]
    cross = _independence(kernels[0], kernels[1])
    alone = [_independence(kernel, kernel) for kernel in kernels]
    if min(alone) <= 0:
        raise InputError("tables to compare", rule="have vectors that differ")
    return float(cross / np.sqrt(alone[0] * alone[1]))


def _kernel(vectors: Vectors) -> npt.NDArray[np.float64]:
    """Return inner products of centred vectors, shape (n, n), with a diagonal of zeros."""
    centred = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)
    kernel = centred @ centred.T
    np.fill_diagonal(kernel, 0.0)
    return np.asarray(kernel)


def _independence(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Return the Hilbert-Schmidt independence criterion, unbiased (Song+2012, eq. 5)."""
    n = len(one)
    rows, others = one.sum(1), other.sum(1)
    total = (one * other).sum() + rows.sum() * others.sum() / ((n - 1) * (n - 2))
    return float((total - 2 * (rows @ others) / (n - 2)) / (n * (n - 3)))
