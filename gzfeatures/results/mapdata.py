"""Columns: what a map can be coloured by. Classes or numbers, joined by id, missing where unknown."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.galaxies.ids import Ids, as_ids, require_unique
from gzfeatures.galaxies.labels import Labels
from gzfeatures.results.predictions import Predictions

NONE = 65535
MOST_COLUMNS = 60


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """One property of n galaxies.

    Parameters
    ----------
    name : str
        Shown to the reader.
    values : ndarray
        With classes: uint16 codes, `NONE` where unknown. Without: float32, NaN where unknown. Shape (n,).
    classes : tuple of str, optional
        Names of the codes.
    """

    name: str
    values: npt.NDArray[np.uint16] | npt.NDArray[np.float32]
    classes: tuple[str, ...] | None = None

    @property
    def kind(self) -> str:
        """`class` or `number`."""
        return "number" if self.classes is None else "class"


def columns(
    ids: Ids,
    labels: Labels | None = None,
    predictions: Mapping[str, Predictions] | None = None,
    catalog: pd.DataFrame | None = None,
) -> list[Column]:
    """Columns of galaxies, in the order in which they are offered.

    Parameters
    ----------
    ids : Ids
        Galaxies, shape (n,).
    labels : Labels, optional
        One class column; a multi-label scheme gives one yes/no column per class, vote fractions one number per answer.
    predictions : mapping of str to Predictions, optional
        Name → predictions: predicted class, confidence (largest probability) and, with labels of the same classes,
        right or wrong. Two or more give `disagreement`, the mean total variation distance between them, in [0, 1].
    catalog : DataFrame, optional
        Column `galaxy_id`, and numeric columns to offer (at most 60); infinite values count as missing.

    Raises
    ------
    InputError
        The catalog has no `galaxy_id`, names a galaxy twice, or has too many columns.
    """
    found: list[Column] = []
    if labels is not None:
        found += _of_labels(ids, labels)
    for name, one in (predictions or {}).items():
        rows = pd.Index(one.ids).get_indexer(pd.Index(ids))
        if one.kind == "classes":
            predicted = _codes(one.codes, rows)
            found.append(Column(f"predicted, {name}", predicted, one.classes))
            if labels is not None and labels.target == "classes" and labels.classes == one.classes:
                truth = found[0].values
                known = (truth != NONE) & (predicted != NONE)
                verdict = np.where(known, truth != predicted, NONE).astype(np.uint16)
                found.append(Column(f"right or wrong, {name}", verdict, ("right", "wrong")))
        found.append(Column(f"confidence, {name}", _numbers(one.probabilities.max(1), rows)))
    found += _disagreement(ids, predictions or {})
    if catalog is not None:
        found += _of_catalog(ids, catalog)
    return found


def _codes(codes: npt.NDArray[np.int64], rows: npt.NDArray[np.intp]) -> npt.NDArray[np.uint16]:
    return (
        np.where(rows < 0, NONE, codes[rows]).astype(np.uint16) if len(codes) else np.full(len(rows), NONE, np.uint16)
    )


def _numbers(values: npt.NDArray[np.floating], rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    if not len(values):
        return np.full(len(rows), np.nan, dtype=np.float32)
    chosen = np.where(rows < 0, np.nan, values[rows]).astype(np.float32)
    return np.where(np.isfinite(chosen), chosen, np.float32(np.nan))


def _of_labels(ids: Ids, labels: Labels) -> list[Column]:
    rows = pd.Index(labels.ids).get_indexer(pd.Index(ids))
    if labels.target == "classes":
        return [Column(f"label, {labels.scheme}", _codes(labels.codes, rows), labels.classes)]
    named = zip(labels.classes, labels.values.T, strict=True)
    if labels.target == "multi-label":
        return [Column(name, _codes(values.astype(np.int64), rows), ("no", "yes")) for name, values in named]
    return [Column(name, _numbers(values, rows)) for name, values in named]


def _disagreement(ids: Ids, predictions: Mapping[str, Predictions]) -> list[Column]:
    roads = list(predictions.values())
    if len(roads) < 2 or any(one.classes != roads[0].classes or one.kind != "classes" for one in roads):
        return []
    aligned = []
    for one in roads:
        rows = pd.Index(one.ids).get_indexer(pd.Index(ids))
        aligned.append(np.where(rows[:, None] < 0, np.nan, one.probabilities[rows]))
    apart = [np.abs(a - b).sum(1) / 2 for a, b in combinations(aligned, 2)]
    return [Column("disagreement", np.mean(apart, axis=0).astype(np.float32))]


def _of_catalog(ids: Ids, catalog: pd.DataFrame) -> list[Column]:
    if "galaxy_id" not in catalog.columns:
        raise InputError(
            "catalog of a map", rule="have a column galaxy_id", found=", ".join(map(str, catalog.columns[:20]))
        )
    own = as_ids(catalog["galaxy_id"], where="catalog")
    require_unique(own, where="catalog")
    numeric = catalog.drop(columns="galaxy_id").select_dtypes("number")
    if numeric.shape[1] > MOST_COLUMNS:
        raise InputError(
            "columns of a map's catalog",
            rule=f"be at most {MOST_COLUMNS}",
            found=numeric.shape[1],
            remedy="choose the columns to colour by",
        )
    rows = pd.Index(own).get_indexer(pd.Index(ids))
    return [Column(str(name), _numbers(numeric[name].to_numpy(dtype=np.float64), rows)) for name in numeric]
