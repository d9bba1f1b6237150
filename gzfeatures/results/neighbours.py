"""Neighbours of galaxies in a table: nearest, similar, the same twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.ids import as_ids, positions
from gzfeatures.results.space import Space

EXACT_UP_TO = 200_000
"""Rows up to which every distance is computed; beyond, an index answers with a measured recall."""

RECALL_SAMPLE = 500


@dataclasses.dataclass(frozen=True, eq=False)
class Nearest:
    """The k nearest rows of each query.

    Parameters
    ----------
    rows : ndarray of int64
        Shape (m, k), nearest first.
    distances : ndarray of float32
        Shape (m, k), euclidean, ascending.
    recall : float
        Share of the true k nearest that were found: 1 where every distance was computed, else measured on a sample.
    """

    rows: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float32]
    recall: float = 1.0


def nearest(
    reference: npt.NDArray[np.float32],
    queries: npt.NDArray[np.float32] | None,
    k: int,
    *,
    exact_up_to: int = EXACT_UP_TO,
    seed: int = 0,
) -> Nearest:
    """Find the k nearest reference rows of each query, on all cores.

    Parameters
    ----------
    reference : ndarray of float32
        Shape (n, d), finite.
    queries : ndarray of float32, optional
        Shape (m, d). None asks for the neighbours of the reference rows themselves, which are then never their own
        neighbour, whatever copies they have.
    k : int
        Neighbours per query, at most n (n − 1 without `queries`).
    exact_up_to : int
        Reference rows up to which all distances are computed (blocked brute force); beyond, by nearest-neighbour
        descent (Dong+2011, doi:10.1145/1963405.1963487), whose recall is measured on 500 queries.
    seed : int
        Of the descent and of the measured sample.

    Raises
    ------
    InputError
        There are fewer rows than neighbours.
    """
    most = len(reference) - (queries is None)
    if not 1 <= k <= most:
        raise InputError(
            "number of neighbours",
            rule=f"lie in 1…{most} for {len(reference)} galaxies",
            found=k,
            remedy="ask for fewer",
        )
    if len(reference) <= exact_up_to:
        return _exact(reference, queries, k)
    from pynndescent import NNDescent

    index = NNDescent(reference, n_neighbors=max(k + 1, 30), random_state=seed, n_jobs=-1)
    rows, distances = index.query(reference if queries is None else queries, k=k + (queries is None), epsilon=0.2)
    found = Nearest(rows.astype(np.int64), distances.astype(np.float32))
    asked = np.arange(len(rows)) if queries is None else None
    found = found if asked is None else _without_self(found, asked)
    sample = np.random.default_rng(seed).permutation(len(rows))[:RECALL_SAMPLE]
    truth = _exact(reference, (reference if queries is None else queries)[sample], k + (queries is None))
    truth = truth if asked is None else _without_self(truth, sample)
    hits = [len(np.intersect1d(a, b)) for a, b in zip(found.rows[sample], truth.rows, strict=True)]
    return dataclasses.replace(found, recall=float(np.mean(hits) / k))


def _exact(reference: npt.NDArray[np.float32], queries: npt.NDArray[np.float32] | None, k: int) -> Nearest:
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(algorithm="brute", n_jobs=-1).fit(reference)
    distances, rows = index.kneighbors(reference if queries is None else queries, n_neighbors=k + (queries is None))
    found = Nearest(rows.astype(np.int64), distances.astype(np.float32))
    return found if queries is not None else _without_self(found, np.arange(len(rows)))


def _without_self(found: Nearest, own: npt.NDArray[np.int64]) -> Nearest:
    """Drop each query's own row, or its farthest neighbour where copies pushed it out."""
    keep = found.rows != own[:, None]
    keep[keep.all(1), -1] = False
    shape = (len(own), found.rows.shape[1] - 1)
    return Nearest(found.rows[keep].reshape(shape), found.distances[keep].reshape(shape), found.recall)


def similar(
    table: EmbeddingTable,
    ids: Sequence[str],
    k: int = 10,
    *,
    metric: str = "euclidean",
    exact_up_to: int = EXACT_UP_TO,
    seed: int = 0,
) -> pd.DataFrame:
    """Nearest galaxies of each id, compared in every dimension of the table.

    Parameters
    ----------
    table : EmbeddingTable
        Galaxies to search.
    ids : sequence of str
        Galaxies asked about; they are in the table.
    k : int
        Neighbours of each.
    metric : {"euclidean", "cosine"}
        How embeddings are compared.
    exact_up_to, seed
        As in `nearest`.

    Returns
    -------
    DataFrame
        Columns `galaxy_id` (the neighbour), `query`, `rank` (1 is nearest), `distance`; attribute `recall`.

    Raises
    ------
    InputError
        An id is not in the table, or there are fewer galaxies than neighbours.
    """
    asked = as_ids(list(ids))
    rows = positions(table.ids, asked, where="embedding table")
    if not 1 <= k < len(table):
        raise InputError("number of neighbours", rule=f"lie in 1…{len(table) - 1} for {len(table)} galaxies", found=k)
    vectors = Space.fit(table.matrix, metric=metric, components=None).vectors(table.matrix)
    found = nearest(vectors, vectors[rows], k + 1, exact_up_to=exact_up_to, seed=seed)
    found = _without_self(found, rows)
    frame = pd.DataFrame(
        {
            "galaxy_id": table.ids[found.rows.ravel()],
            "query": np.repeat(asked, k),
            "rank": np.tile(np.arange(1, k + 1), len(asked)),
            "distance": found.distances.ravel(),
        }
    )
    frame.attrs["recall"] = found.recall
    return frame
