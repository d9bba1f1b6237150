"""Rank galaxies by how unusual their embeddings are, with three measures that need no labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.explore.cells.cell_index import CellIndex
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.explore.neighbours import EXACT_UP_TO, Nearest, nearest
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.progress import SILENT, Progress

MEASURES = ("distance", "outlier_factor", "isolation")


def anomalies(
    table: EmbeddingTable,
    *,
    k: int = 15,
    metric: str = "euclidean",
    components: int | None = 50,
    exact_up_to: int = EXACT_UP_TO,
    cells: CellIndex | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> pd.DataFrame:
    """Rank the galaxies of a table from the most to the least anomalous embedding.

    Parameters
    ----------
    table : EmbeddingTable
        Galaxies, more than `k`.
    k : int
        Number of neighbours with which each galaxy is compared.
    metric : {"euclidean", "cosine"}
        How embeddings are compared.
    components : int, optional
        Number of principal components in which distances are computed; None for whole embeddings.
    exact_up_to, cells
        As in `neighbours.nearest`.
    seed : int
        Seed of the isolation forest.
    progress : Progress
        Shows the steps; by default nowhere.

    Returns
    -------
    DataFrame
        A row per galaxy, the most unusual first: `galaxy_id`; `rank` from 1; `score` in (0, 1], the
        mean of the three measures' ranks; and the measures (larger for unusual galaxies):
        `distance`, the mean distance to the k nearest; `outlier_factor` (Breunig+2000,
        doi:10.1145/335191.335388, def. 7), the density at the neighbours over that at the galaxy;
        `isolation` in [0, 1], near 1 if few random cuts separate the galaxy from all others
        (Liu+2008, doi:10.1109/ICDM.2008.17, eq. 2).

    Raises
    ------
    InputError
        The table has no more than `k` galaxies, or all embeddings are equal.
    """
    from sklearn.ensemble import IsolationForest

    vectors = FeatureSpace.fit(table.matrix, metric=metric, components=components).vectors(
        table.matrix
    )
    near = nearest(
        vectors, None, k, exact_up_to=exact_up_to, cells=cells, seed=seed, progress=progress
    )
    with progress.busy(f"isolating {len(table):,} galaxies"):
        forest = IsolationForest(n_estimators=200, random_state=seed, n_jobs=-1).fit(vectors)
        isolation = -forest.score_samples(vectors)
    frame = pd.DataFrame(
        {
            "galaxy_id": table.ids,
            "distance": near.distances.mean(1),
            "outlier_factor": _outlier_factor(near),
            "isolation": isolation,
        }
    )
    frame.insert(1, "score", frame[list(MEASURES)].rank(pct=True).mean(axis=1))
    frame = frame.sort_values(["score", "galaxy_id"], ascending=[False, True], ignore_index=True)
    frame.insert(1, "rank", np.arange(1, len(frame) + 1))
    frame.attrs["recall"] = near.recall
    return frame


def _outlier_factor(near: Nearest) -> npt.NDArray[np.float64]:
    """Return the mean density at each galaxy's neighbours divided by the density at the galaxy.

    This is the local outlier factor (LOF).

    The density is limited, because it would be infinite among equal rows.
    """
    reach = np.maximum(near.distances[near.rows, -1], near.distances).mean(1, dtype=np.float64)
    density = 1 / np.maximum(reach, 1e-10)
    return np.asarray(density[near.rows].mean(1) / density)
