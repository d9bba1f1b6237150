"""Predict every labelled galaxy with a head that was fitted without this galaxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gzfeatures.errors import InputError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.related_galaxies import known_groups
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.fit import fit
from gzfeatures.heads.folds import folds_of
from gzfeatures.ids import among


def out_of_sample(
    table: EmbeddingTable,
    labels: Labels,
    head: str = "logistic",
    *,
    folds: int = 5,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
    **parameters: Any,
) -> Predictions:
    """Predict the galaxies of each fold with a head that was fitted to all other folds.

    Parameters
    ----------
    table : EmbeddingTable
        Vectors.
    labels : Labels
        One class per galaxy; only galaxies with a label and a vector count.
    head : str
        Name in `HEADS`.
    folds : int
        Number of folds, stratified by class; at least 2.
    groups : mapping of str to str, optional
        Id → group; a group is never divided, so that no galaxy is predicted from its duplicate.
    seed : int
        Seed of folds and heads.
    **parameters
        Parameters of the head.

    Returns
    -------
    Predictions
        Labelled galaxies in the order of the table. If all galaxies of a class are in one group,
        they get no prediction, because no galaxy of the class would remain for training.

    Raises
    ------
    InputError
        No galaxy has a label and a vector; there are fewer than two folds; or `fit` refuses.
    """
    if folds < 2:
        raise InputError("folds", rule="be at least 2", found=folds)
    labelled = among(table.ids, labels.ids)
    if not labelled.any():
        raise InputError(
            "no galaxy has a label and a vector", rule="share ids", remedy="check the id columns"
        )
    ids = table.ids[labelled]
    # a galaxy without a group is one by itself, numbered by its id, so that the folds of a seed
    # stay what they were
    group_of = {name: name for name in ids} | {
        name: f"group {group}" for name, group in known_groups(groups or {}).items()
    }
    members = np.asarray([group_of[name] for name in ids], dtype=object)
    parts = []
    for rest, part in folds_of(labels.select(ids).codes, members, folds, seed):
        if not len(part):
            continue
        split = Split(ids[rest], ids[:0], ids[part])
        fitted = fit(table, labels, head, split=split, seed=seed, **parameters)
        parts.append(fitted.predict(table.select(ids[part])))
    predicted = np.concatenate([part.ids for part in parts])
    chances = np.concatenate([part.probabilities for part in parts])
    return Predictions(predicted, chances, labels.classes).select(ids[among(ids, predicted)])
