"""Heads of every kind on a drawn table, to be written as graphs."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from gzfeatures.evaluation.conformal_sets import Conformal
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.fit import fit
from gzfeatures.heads.head import Head
from gzfeatures.unlabelled.familiarity import LEVEL, Familiarity
from gzfeatures.unlabelled.shift import Shares

CLASSES = ("smooth", "disk", "merger", "star")
DIM, ROWS = 24, 900


@functools.cache
def table() -> EmbeddingTable:
    """Vectors of four classes, far from zero, with noise that mixes them."""
    generator = np.random.default_rng(0)
    centres = generator.normal(0, 0.9, (len(CLASSES), DIM))
    vectors = 2 + generator.normal(size=(ROWS, DIM)) + centres[codes()]
    ids = np.array([f"g{row}" for row in range(ROWS)], dtype=object)
    extractor = Extractor.imported("drawn", "drawn", "v", DIM)
    return EmbeddingTable(ids, np.full(ROWS, "", object), vectors.astype(np.float32), extractor)


@functools.cache
def codes() -> np.ndarray:
    """Class of each row; the last is rare."""
    return np.random.default_rng(1).choice(4, ROWS, p=(0.4, 0.3, 0.2, 0.1))


def split() -> Split:
    """Half of the rows train, a quarter calibrates."""
    ids = table().ids
    return Split(ids[:450], ids[450:675], ids[675:])


def labels(target: str = "classes") -> Labels:
    """Labels of a kind for every row."""
    ids, truth = table().ids, np.eye(4)[codes()]
    if target == "classes":
        return Labels(ids, CLASSES, codes())
    if target == "multi-label":
        flags = truth.astype(np.int64)
        flags[:, 3] = 1
        return Labels(ids, CLASSES, flags, "multi-label")
    if target == "fractions":
        fractions = 0.1 + 0.6 * truth
        fractions[::3, 1] = np.nan
        return Labels(ids, CLASSES, fractions, "fractions")
    number = 50 + 7 * table().matrix[:, :1].astype(np.float64)
    return Labels(ids, ("mass",), number, "value")


@functools.cache
def head(
    name: str = "logistic", target: str = "classes", method: Any = "threshold", **how: Any
) -> Head:
    """A head with class sets and familiarity, as `gzfeatures fit` leaves it."""
    fitted = fit(table(), labels(target), name, split=split(), **how)
    kept_out = table().select(split().validation)
    known = Familiarity.of(table().select(split().train).matrix, kept_out.matrix)
    fitted = dataclasses.replace(fitted, familiarity=known)
    if target != "classes":
        return fitted
    p = known.p_values_of_calibration(kept_out.matrix)
    predicted = dataclasses.replace(fitted.predict(kept_out), unfamiliar=p < LEVEL)
    sets = Conformal.of(predicted, labels(), method=method)
    shares = Shares.of(predicted.probabilities)
    return dataclasses.replace(fitted, sets=sets, shares=shares)
