"""Find the nearest rows of a matrix, exactly or with a graph of near rows (faiss)."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.features.matrices import BLOCK
from gzfeatures.progress import SILENT, Progress

Matrix = npt.NDArray[np.float32]
LINKS = 16
"""Links of a row in the graph; the lowest level has twice as many."""
BUILDING, SEARCHING = 80, 48
"""Candidate rows compared while a row is linked, and while neighbours of a query are searched."""
SPARE = 4
"""Candidates in addition to the k neighbours wanted, from all of which exact distances choose."""
NARROW, KEPT = 128, 0.9
"""Principal components in which the graph is built if embeddings have more dimensions, and the
least share of the variance that these components must have."""
ROUNDING = 4e-6
"""Error of a squared distance by a product in single precision, in units of squared lengths."""
CELL, MOST_CELLS = 100, 1024
"""Mean number of rows in a cell by which rows are ordered for the graph, and the most cells."""
CENTRED = 0.01
"""Largest squared length of the rows' mean, over that of the longest row, that needs no shift."""
SEARCHED = 4096
"""Queries that are searched between two reports of progress."""
ROWS = 64
"""Queries whose candidates are compared exactly at once; more need memory and are no faster."""


@dataclasses.dataclass(frozen=True, eq=False)
class Nearest:
    """Store the k nearest rows of each query vector, with their distances.

    Parameters
    ----------
    rows : ndarray of int64
        Shape (m, k), nearest first.
    distances : ndarray of float32
        Shape (m, k), euclidean, ascending.
    recall : float
        Share of the true k nearest that were found: 1 if all distances were computed, otherwise
        measured on a sample.
    """

    rows: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float32]
    recall: float = 1.0


def require_neighbours(k: int, galaxies: int, *, own: bool) -> None:
    """Refuse to search for more neighbours than a table has galaxies."""
    most = galaxies - own
    if not 1 <= k <= most:
        raise InputError(
            "number of neighbours",
            rule=f"lie in 1…{most} for {galaxies} galaxies",
            found=k,
            remedy="ask for fewer",
        )


def by_every_distance(
    reference: Matrix, queries: Matrix, k: int, own: npt.NDArray[np.intp] | None
) -> Nearest:
    """Find the k nearest rows of each query vector exactly, from its distances to all rows.

    A matrix product in single precision selects candidates; distances computed from differences
    decide between them. Among equal distances, the earlier row comes first.
    """
    import faiss

    rows, asked_about = np.ascontiguousarray(reference), np.ascontiguousarray(queries)
    centre = reference.mean(0, dtype=np.float64).astype(np.float32)
    longest = np.einsum("ij,ij->i", rows, rows).max()
    # |x − y|² = |x|² + |y|² − 2 x·y loses digits if all rows lie far from the origin, so subtract
    # the mean; most callers pass rows with mean 0, which need no copy
    if centre @ centre > CENTRED * longest:
        rows, asked_about = rows - centre, asked_about - centre
        longest = np.einsum("ij,ij->i", rows, rows).max()
    rounding = ROUNDING * (np.einsum("ij,ij->i", asked_about, asked_about) + longest)
    asked = min(len(reference), k + (own is not None) + SPARE)
    rough, candidates = faiss.knn(asked_about, rows, asked)
    near = nearest_candidates(reference, queries, candidates, k, own)
    # if rounding errors may have left out a row nearer than the k-th neighbour, search the
    # neighbours of this query again in double precision
    unsure = near.distances[:, -1] ** 2 >= rough[:, -1] - rounding
    if asked < len(reference) and unsure.any():
        mine = None if own is None else own[unsure]
        near.rows[unsure], near.distances[unsure] = _in_double(reference, queries[unsure], k, mine)
    return near


def _in_double(
    reference: Matrix, queries: Matrix, k: int, own: npt.NDArray[np.intp] | None
) -> tuple[npt.NDArray[np.int64], Matrix]:
    """Find nearest rows and their distances exactly, in double precision."""
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(algorithm="brute", n_jobs=-1).fit(reference)
    asked = min(len(reference), k + (own is not None))
    distances, rows = index.kneighbors(queries, n_neighbors=asked)
    near = _without_own(rows, distances, k, own)
    return near.rows, near.distances


def by_graph(
    reference: Matrix,
    queries: Matrix,
    k: int,
    own: npt.NDArray[np.intp] | None,
    progress: Progress = SILENT,
) -> Nearest:
    """Find the k nearest rows of each query vector approximately, along a graph of near rows.

    The graph is a hierarchical navigable small world (Malkov & Yashunin 2020,
    doi:10.1109/TPAMI.2018.2889473): its time grows with n log n.
    """
    space = None
    if reference.shape[1] > NARROW:
        space = FeatureSpace.fit(reference, components=NARROW)
    # search in 128 principal components, which is faster, if they have at least 90 % of the
    # variance
    narrow = space is not None and space.axes is not None and space.kept >= KEPT
    rows = reference if space is None or not narrow else space.vectors(reference)
    asked_about = rows
    if queries is not reference:
        asked_about = queries if space is None or not narrow else space.vectors(queries)
    asked = min(len(reference), (2 if narrow else 1) * k + (own is not None))
    candidates = _graph_candidates(rows, asked_about, asked, progress)
    lacking = (candidates < 0).any(1)  # faiss writes −1 if it finds too few rows
    near = nearest_candidates(reference, queries, np.maximum(candidates, 0), k, own)
    if lacking.any():
        mine = None if own is None else own[lacking]
        exact = by_every_distance(reference, queries[lacking], k, mine)
        near.rows[lacking], near.distances[lacking] = exact.rows, exact.distances
    return near


def _graph_candidates(
    rows: Matrix, queries: Matrix, asked: int, progress: Progress
) -> npt.NDArray[np.int64]:
    """Return the indices of `asked` rows near each of m queries, shape (m, asked).

    The index −1 stands for a row that the graph search did not find.
    """
    import faiss

    index = faiss.IndexHNSWFlat(rows.shape[1], LINKS)
    index.hnsw.efConstruction = BUILDING
    # use one thread: with several, rows are added in a random order, which changes the graph
    with _threads(1), progress.busy(f"linking {len(rows):,} galaxies"):
        order, asked_order = _by_cell(rows, queries)
        index.add(rows[order])
    index.hnsw.efSearch = max(SEARCHING, 3 * asked)
    candidates = np.empty((len(queries), asked), dtype=np.int64)
    with progress.counted("searching", len(queries), unit="galaxies", transient=True) as advance:
        for start in range(0, len(queries), SEARCHED):
            part = asked_order[start : start + SEARCHED]
            found = index.search(queries[part], asked)[1]
            candidates[part] = np.where(found < 0, -1, order[found])
            advance(len(part))
    return candidates


def _by_cell(rows: Matrix, queries: Matrix) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return a permutation of the rows, and one of the queries, that puts near vectors together.

    A graph whose near rows lie side by side in memory is searched in half the time.
    """
    count = int(np.clip(len(rows) // CELL, 1, MOST_CELLS))
    centres, place = cells_of(rows, count, rounds=4, seed=0)
    asked = place
    if queries is not rows:
        asked = nearest_cells(queries, centres)
    return np.argsort(place, kind="stable"), np.argsort(asked, kind="stable")


def cells_of(
    rows: Matrix, count: int, *, rounds: int, seed: int
) -> tuple[Matrix, npt.NDArray[np.int64]]:
    """Return the centres of cells (k-means on a sample of rows), and the cell of each row, (n,)."""
    import faiss

    means = faiss.Kmeans(
        rows.shape[1],
        count,
        niter=rounds,
        seed=seed,
        max_points_per_centroid=64,
        min_points_per_centroid=1,
    )
    means.train(np.ascontiguousarray(rows))
    centres = np.asarray(means.centroids, dtype=np.float32)
    return centres, nearest_cells(rows, centres)


def moved_centres(rows: Matrix, count: int, centres: Matrix, *, seed: int) -> Matrix:
    """Return the centres of cells after one more round of k-means, shape (count, dim).

    Parameters
    ----------
    rows : ndarray of float32
        Shape (n, dim), n ≥ `count`; all are used.
    count : int
        Number of cells.
    centres : ndarray of float32
        Centres after the previous round; (0, dim) for the first round, which begins at random rows.
    seed : int
        Seed of the random rows at which the first round begins.
    """
    import faiss

    means = faiss.Kmeans(
        rows.shape[1],
        count,
        niter=1,
        seed=seed,
        max_points_per_centroid=-(-len(rows) // count),
        min_points_per_centroid=1,
    )
    means.train(np.ascontiguousarray(rows), init_centroids=centres if len(centres) else None)
    return np.asarray(means.centroids, dtype=np.float32)


def nearest_cells(rows: Matrix, centres: Matrix) -> npt.NDArray[np.int64]:
    """Return the number of the nearest centre for each row, shape (n,)."""
    import faiss

    place = np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        place[part] = faiss.knn(np.ascontiguousarray(rows[part]), centres, 1)[1][:, 0]
    return place


def nearest_candidates(
    reference: Matrix,
    queries: Matrix,
    candidates: npt.NDArray[np.int64],
    k: int,
    own: npt.NDArray[np.intp] | None,
) -> Nearest:
    """Compute exact distances to each query's candidate rows, and return the k nearest rows."""
    distances = np.empty(candidates.shape, dtype=np.float32)
    for start in range(0, len(queries), ROWS):
        part = slice(start, start + ROWS)
        difference = reference[candidates[part]] - queries[part, None]
        distances[part] = np.sqrt(np.einsum("ijk,ijk->ij", difference, difference))
    return _without_own(candidates, distances, k, own)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let the library faiss use this number of threads inside a `with` block."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _without_own(
    rows: npt.NDArray[np.int64],
    distances: npt.NDArray[np.floating],
    k: int,
    own: npt.NDArray[np.intp] | None,
) -> Nearest:
    """Return the k nearest candidate rows of each query; leave out the query's own row."""
    far = distances.astype(np.float32)
    if own is not None:
        far[rows == own[:, None]] = np.inf
    order = np.lexsort((rows, far), axis=1)[:, :k]
    return Nearest(
        np.take_along_axis(rows, order, axis=1).astype(np.int64),
        np.take_along_axis(far, order, axis=1),
    )
