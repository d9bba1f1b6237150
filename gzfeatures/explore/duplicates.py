"""Find pairs of galaxies that are likely duplicates: near embeddings, or equal images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.explore.cells.cell_index import CellIndex
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.explore.neighbours import EXACT_UP_TO, nearest
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.splits.related_galaxies import key_groups
from gzfeatures.progress import SILENT, Progress

AMONG = 10
"""Rank of the neighbour whose distance sets the scale when duplicates are searched."""


def duplicates(
    table: EmbeddingTable,
    *,
    chance: float = 1.0,
    among: int = AMONG,
    metric: str = "euclidean",
    components: int | None = None,
    exact_up_to: int = EXACT_UP_TO,
    cells: CellIndex | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> pd.DataFrame:
    """Return pairs of table rows whose embeddings are so near that they likely show one galaxy.

    Two rows are a pair if their images have the same bytes, or if they are nearer to each other
    than expected by chance. If galaxies are spread evenly in D dimensions, the nearest neighbour is
    within r times the distance to neighbour number k with probability 1 − (1 − r^D)^(k−1). So about
    (k − 1) r^D n chance pairs are expected among n galaxies, and r is chosen for `chance` pairs. D
    is estimated from the table (after Levina & Bickel 2004, eq. 8, from the farther half of the k
    neighbours: the nearer ones may be duplicates). The distance to neighbour k is each galaxy's
    own, so that dense and empty parts of the table have the same rule.

    Parameters
    ----------
    table : EmbeddingTable
        Galaxies, more than `among`.
    chance : float
        Number of pairs in the whole table that may be found by chance, > 0.
    among : int
        Rank k of the neighbour whose distance is the scale, at least 3. If a galaxy has more
        copies than this, the scale is too small to find them. At least half of the galaxies must
        have fewer than k / 2 copies: otherwise D is the dimension of the copies' noise.
    metric : {"euclidean", "cosine"}
        How embeddings are compared.
    components : int, optional
        Number of principal components in which distances are computed; None for whole embeddings.
    exact_up_to, cells, seed, progress
        As in `neighbours.nearest`.

    Returns
    -------
    DataFrame
        A row per pair, closest first: `galaxy_id`, `twin` (the other galaxy), `distance`, `ratio`
        (distance / scale), `same_image` (equal bytes), `group` (number of the set of connected
        pairs, from 0). Attributes: `dimension` (D), `ratio` (r, the largest ratio of a pair), and
        `recall` (the share of nearest galaxies that were found).

    Raises
    ------
    InputError
        `chance` or `among` is outside its range, or the table has no more than `among` galaxies.
    """
    if chance <= 0 or among < 3:
        raise InputError(
            "chance and scale of twins", rule="be > 0 and at least 3", found=(chance, among)
        )
    space = FeatureSpace.fit(table.matrix, metric=metric, components=components)
    # whole embeddings with the Euclidean metric need no projected copy: the feature space would
    # only subtract the mean, which changes no distance
    whole = space.axes is None and metric == "euclidean"
    vectors = table.matrix if whole else space.vectors(table.matrix)
    near = nearest(
        vectors, None, among, exact_up_to=exact_up_to, cells=cells, seed=seed, progress=progress
    )
    scale = np.maximum(near.distances[:, -1], np.finfo(np.float32).tiny)
    dimension = _dimension(near.distances)
    ratio = min(0.9, (chance / (len(table) * (among - 1))) ** (1 / dimension))
    one = np.repeat(np.arange(len(table)), among)
    other = near.rows.ravel()
    close = near.distances.ravel() <= ratio * np.minimum(scale[one], scale[other])
    near_pairs = np.sort(np.stack([one[close], other[close]], axis=1), axis=1)
    same, copies = _same_images(table.file_keys)
    both = np.unique(np.concatenate([near_pairs, copies]), axis=0)
    distance = np.linalg.norm(vectors[both[:, 0]] - vectors[both[:, 1]], axis=1)
    frame = pd.DataFrame(
        {
            "galaxy_id": table.ids[both[:, 0]],
            "twin": table.ids[both[:, 1]],
            "distance": distance,
            "ratio": distance / np.minimum(scale[both[:, 0]], scale[both[:, 1]]),
            "same_image": same[both[:, 0]] == same[both[:, 1]],
            "group": _connected(both, len(table)),
        }
    )
    frame = frame.sort_values(["ratio", "galaxy_id"], ignore_index=True)
    frame.attrs.update(dimension=dimension, ratio=ratio, recall=near.recall)
    return frame


def near_duplicate_groups(table: EmbeddingTable) -> dict[str, str]:
    """Return a dict from galaxy id to the smallest id in its group of likely duplicates.

    The dict is empty if the table is too small for `duplicates`.
    """
    if len(table) <= AMONG:
        return {}
    frame = duplicates(table)
    names = np.concatenate([frame["galaxy_id"], frame["twin"]]).astype(object)
    rows = pd.DataFrame({"id": names, "group": np.tile(frame["group"], 2)}).drop_duplicates("id")
    return key_groups(rows["id"].to_numpy(object), rows["group"])


def _same_images(
    keys: Sequence[str],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return a number for each image, shape (n,), and the pairs of rows in a chain of one image.

    A row whose image is not known (an empty key) has an image of its own.
    """
    numbers, known = pd.factorize(np.asarray(keys, dtype=object))
    unknown = np.asarray([not each for each in known], dtype=bool)[numbers]
    numbers = np.where(unknown, len(known) + np.arange(len(keys)), numbers).astype(np.int64)
    order = np.argsort(numbers, kind="stable")
    equal = np.diff(numbers[order]) == 0
    return numbers, np.stack([order[:-1][equal], order[1:][equal]], axis=1)


def _dimension(distances: npt.NDArray[np.float32]) -> float:
    """Estimate the intrinsic dimension of embeddings from distances to the k nearest galaxies.

    log(d_k / d_j) is (1/j + … + 1/(k−1)) / D on average. Only the farther half, j = k/2 … k − 1, is
    used: distances to a galaxy's copies tell about their noise, not about the table.
    """
    k = distances.shape[1]
    first = max(2, k // 2)
    # expected mean of log(d_k / d_j) over these j for dimension D = 1
    expected = np.cumsum(1 / np.arange(k - 1, first - 1, -1)).mean()
    # equal embeddings have distance 0, replaced here by the smallest float32: a ratio to it
    # overflows float32, so compute in double precision
    far = np.maximum(distances, np.finfo(np.float32).tiny).astype(np.float64)
    logs = np.log(far[:, -1:] / far[:, first - 1 : -1]).mean(1)
    return float(expected / max(np.median(logs), 1e-3))


def _connected(pairs: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """Return the group number of each pair; pairs that share a galaxy are in the same group."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    return np.asarray(pd.factorize(component[pairs[:, 0]])[0], dtype=np.int64)
