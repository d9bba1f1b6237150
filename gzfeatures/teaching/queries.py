"""Choose the unlabelled galaxies of a table whose labels would help a head most."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import among, positions


def query_next(
    predictions: Predictions,
    table: EmbeddingTable,
    count: int = 50,
    *,
    labels: Labels | None = None,
    pool: int = 10,
    metric: str = "euclidean",
) -> pd.DataFrame:
    """Return unlabelled galaxies to label next: uncertain ones that differ from each other.

    A galaxy is uncertain if the margin, the difference between its two largest class probabilities,
    is small (Scheffer+2001, doi:10.1007/3-540-44816-0_31). Of the `pool` × `count` most uncertain
    galaxies, the most uncertain is chosen first, then always the one farthest from all chosen
    (Sener & Savarese 2018, arXiv:1708.00489, algorithm 1). So the list has no near-copies.

    Parameters
    ----------
    predictions : Predictions
        Class probabilities of galaxies, one class per galaxy (kind "classes").
    table : EmbeddingTable
        Embeddings of these galaxies.
    count : int
        Number of galaxies to choose; if fewer are unlabelled, all of these are returned.
    labels : Labels, optional
        Labels so far; galaxies that have one are not chosen.
    pool : int
        The galaxies are chosen from the `pool` × `count` most uncertain ones; with 1, the most
        uncertain are returned, even if they are alike.
    metric : {"euclidean", "cosine"}
        Distance by which embeddings are compared.

    Returns
    -------
    DataFrame
        `galaxy_id`, `rank` from 1, `predicted`, `probability`, `margin` in [0, 1].

    Raises
    ------
    InputError
        `count` or `pool` is below 1, a predicted galaxy has no embedding, something else than one
        of several classes is predicted, or every galaxy has a label.
    """
    if count < 1 or pool < 1:
        raise InputError(
            "galaxies to label next",
            rule="be at least 1, from a pool of at least 1",
            found=(count, pool),
        )
    # vote fractions or several labels answer different questions: a galaxy whose two largest ones
    # are equal may be certain in both
    if predictions.kind != "classes":
        raise InputError(
            "predictions by which galaxies are chosen to label next",
            rule="give each galaxy one class",
            found=predictions.kind,
            remedy="predict with a head that was fitted to one class per galaxy",
        )
    if len(predictions.classes) < 2:
        raise InputError(
            "galaxies to label next",
            rule="have at least two classes",
            found=predictions.classes,
        )
    vectors = FeatureSpace.fit(table.matrix, metric=metric).vectors(table.matrix)[
        positions(table.ids, predictions.ids)
    ]
    # the margin: a small difference between the two largest probabilities means an uncertain class
    # (Scheffer+2001)
    ordered = np.sort(predictions.probabilities, axis=1)
    margin = ordered[:, -1] - ordered[:, -2]
    open_rows = np.flatnonzero(~among(predictions.ids, () if labels is None else labels.ids))
    if not len(open_rows):
        raise InputError("galaxies to label next", rule="include one without a label")
    # choose galaxies that differ from each other among the most uncertain: a head learns little
    # from the labels of two similar galaxies
    considered = open_rows[np.argsort(margin[open_rows], kind="stable")][: pool * count]
    taken = (
        considered[_spread(vectors[considered], min(count, len(considered)))]
        if pool > 1
        else considered
    )
    return pd.DataFrame(
        {
            "galaxy_id": predictions.ids[taken],
            "rank": np.arange(1, len(taken) + 1),
            "predicted": predictions.names[taken],
            "probability": predictions.probabilities[taken].max(1),
            "margin": margin[taken],
        }
    )


def _spread(vectors: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """Choose rows: the first row, then repeatedly the row farthest from all chosen rows."""
    taken = np.zeros(count, dtype=np.int64)
    apart = np.full(len(vectors), np.inf)
    for i in range(1, count):
        apart = np.minimum(apart, np.linalg.norm(vectors - vectors[taken[i - 1]], axis=1))
        apart[taken[i - 1]] = -1
        taken[i] = int(apart.argmax())
    return taken
