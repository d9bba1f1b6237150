"""Find typical galaxies of each class: those nearest to the class's median embedding."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import among, positions


def prototypes(
    table: EmbeddingTable, labels: Labels, k: int = 5, *, metric: str = "euclidean"
) -> pd.DataFrame:
    """Return the k galaxies of each class whose embeddings are nearest to the class's median.

    The centre is the median of the class's vectors in every principal component.

    Parameters
    ----------
    table : EmbeddingTable
        Embeddings.
    labels : Labels
        One class per galaxy; only galaxies with a class and an embedding are used.
    k : int
        Galaxies per class; of a smaller class, all galaxies are returned.
    metric : {"euclidean", "cosine"}
        How embeddings are compared.

    Returns
    -------
    DataFrame
        `galaxy_id`, `class`, `rank` from 1, `distance`; classes in the order of the labels.

    Raises
    ------
    InputError
        `k` is below 1, or no galaxy has a class and an embedding.
    """
    if k < 1:
        raise InputError("prototypes per class", rule="be at least 1", found=k)
    ids = table.ids[among(table.ids, labels.ids)]
    if not len(ids):
        raise InputError("no galaxy has a label and a vector", rule="share ids")
    vectors = FeatureSpace.fit(table.matrix, metric=metric).vectors(table.matrix)[
        positions(table.ids, ids)
    ]
    codes = labels.select(ids).codes
    parts = []
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        distance = np.linalg.norm(vectors[rows] - np.median(vectors[rows], axis=0), axis=1)
        best = np.argsort(distance, kind="stable")[:k]
        parts.append(
            pd.DataFrame(
                {
                    "galaxy_id": ids[rows[best]],
                    "class": labels.classes[code],
                    "rank": np.arange(1, len(best) + 1),
                    "distance": distance[best],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
