"""Measure how a head's accuracy grows with the number of training galaxies."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.nested_parts import nested_order
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.fit import fit
from gzfeatures.heads.inputs import Tables
from gzfeatures.ids import Ids

SIZES = (50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000)


def learning_curve(
    table: Tables,
    labels: Labels,
    split: Split,
    heads: Sequence[str] = ("svm",),
    sizes: Sequence[int] = SIZES,
    seeds: Sequence[int] = (0, 1, 2),
    allow_seen: bool = False,
) -> list[dict[str, Any]]:
    """Fit heads to growing numbers of galaxies, and score them on the same test galaxies.

    Parameters
    ----------
    table : EmbeddingTable or sequence of EmbeddingTable
        Vectors of the split's galaxies.
    labels : Labels
        Labels to predict.
    split : Split
        Training samples are drawn from its `train` galaxies; its `test` galaxies are scored.
    heads : sequence of str
        Names in `HEADS`.
    sizes : sequence of int
        Numbers of training galaxies. Numbers above that of all `train` galaxies are left out; a fit
        to all of them is always the last.
    seeds : sequence of int
        Each seed draws its own samples (stratified, with at least two galaxies of every class that
        has two), of which each contains the smaller ones.
    allow_seen : bool
        Also score test galaxies that a backbone was trained on, although this is no fair test.

    Returns
    -------
    list of dict
        `head, galaxies, seed, fit_seconds` and every metric of the test galaxies.

    Raises
    ------
    GzError
        For the reasons of `fit` and `evaluate`.
    """
    whole = len(split.train)
    steps = [*sorted({size for size in sizes if size < whole}), whole]
    tests = _tests(table, split.test)
    rows = []
    # each sample contains all smaller ones, so that points of a curve differ only by added galaxies
    for seed in seeds:
        train = nested(split.train, labels, seed)
        for size in steps:
            part = Split(train[:size], split.validation, split.test, split.groups)
            for head in heads:
                start = time.perf_counter()
                fitted = fit(table, labels, head, split=part, seed=seed)
                seconds = time.perf_counter() - start
                predictions = fitted.predict(tests)
                scores = evaluate(
                    predictions.without_seen() if allow_seen else predictions, labels, intervals=0
                )
                rows.append(
                    {
                        "head": head,
                        "galaxies": size,
                        "seed": seed,
                        "fit_seconds": seconds,
                        **scores.metrics,
                    }
                )
    return rows


def curve(
    rows: Sequence[dict[str, Any]], head: str, metric: str = "accuracy"
) -> list[tuple[int, float, float, float]]:
    """Return a head's learning curve: its score against the number of training galaxies.

    Each tuple has a number of training galaxies, then the mean, lowest and highest score of the
    heads that were fitted to so many galaxies with different seeds.
    """
    values: dict[int, list[float]] = {}
    for row in rows:
        if row["head"] == head:
            values.setdefault(row["galaxies"], []).append(row[metric])
    return [(size, float(np.mean(v)), min(v), max(v)) for size, v in sorted(values.items())]


def _tests(table: Tables, ids: Ids) -> Tables:
    return (
        table.select(ids)
        if isinstance(table, EmbeddingTable)
        else [one.select(ids) for one in table]
    )


def nested(train: Ids, labels: Labels, seed: int) -> Ids:
    """Order training ids so that, for every n, the first n have about the class shares of all."""
    train = np.sort(train)
    chosen = labels.select(train)
    codes = chosen.codes if labels.target == "classes" else chosen.strata
    ordered: Ids = train[nested_order(codes, seed)]
    return ordered
