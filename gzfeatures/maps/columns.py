"""Collect the classes and numbers by which the points of a map can be coloured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from gzfeatures.errors import InputError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.residuals import residuals
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.quantities import QUANTITIES
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import Ids, as_ids, require_unique

NONE = 65535
MOST_COLUMNS = 60
MOST_CLASSES = 72
"""Most classes that colour and shape can distinguish."""

USUAL = ("redshift", "petro_mag_r_abs", "petro_r90", "ra", "dec")
"""Quantities that are found in a catalog under any of their usual column names."""


@dataclasses.dataclass(frozen=True, eq=False)
class MapColumn:
    """Store one property of n galaxies, classes or numbers, by which a map can be coloured.

    Parameters
    ----------
    name : str
        Name shown on the page.
    values : ndarray
        Class codes (uint16, `NONE` if unknown) or numbers (NaN if unknown), shape (n,). Numbers are
        float32 if that keeps every written digit, otherwise float64, because the page exports them.
    classes : tuple of str, optional
        Names of the class codes; None for numbers.
    """

    name: str
    values: npt.NDArray[np.uint16] | npt.NDArray[np.float32] | npt.NDArray[np.float64]
    classes: tuple[str, ...] | None = None

    @property
    def kind(self) -> str:
        """Return whether the column holds classes (`class`) or numbers (`number`)."""
        return "number" if self.classes is None else "class"


def columns(
    ids: Ids,
    labels: Labels | None = None,
    predictions: Mapping[str, Predictions] | None = None,
    catalog: pd.DataFrame | None = None,
) -> list[MapColumn]:
    """Collect labels, predictions and catalog columns by which a map can be coloured.

    Parameters
    ----------
    ids : Ids
        Galaxies, shape (n,).
    labels : Labels, optional
        One class column; a multi-label scheme gives one yes/no column per class, vote fractions one
        number per answer.
    predictions : mapping of str to Predictions, optional
        Name → predictions. Predicted classes give the class, its confidence (largest probability)
        and, with labels of the same classes, right or wrong. Predicted numbers give the number and,
        with labels, its residual. `familiarity_p` is added if known. Two or more predictions give
        `disagreement`, the mean total variation distance between them, in [0, 1].
    catalog : DataFrame, optional
        Column `galaxy_id`, and columns to offer (at most 60): numbers (infinite values, and
        the smallest and largest int64, count as missing), booleans as no and yes, texts as classes
        if at most 72 of them differ. Other columns are ignored. Whole numbers beyond 2^53, such as
        names of fields, are treated as texts.

    Raises
    ------
    InputError
        The catalog has no `galaxy_id`, names a galaxy twice, or has too many columns.
    """
    result: list[MapColumn] = []
    if labels is not None and labels.target == "classes":
        # sort the classes of the labels like those of the predictions, so that each class has one
        # code and colour
        orders = [
            prediction.classes
            for prediction in (predictions or {}).values()
            if set(prediction.classes) == set(labels.classes)
        ]
        labels = labels.ordered(orders[0]) if orders else labels
    if labels is not None:
        result += _of_labels(ids, labels)
    for name, prediction in (predictions or {}).items():
        rows = pd.Index(prediction.ids).get_indexer(pd.Index(ids))
        if prediction.kind == "classes":
            predicted = _codes(prediction.codes, rows)
            result.append(MapColumn(f"predicted, {name}", predicted, prediction.classes))
            if (
                labels is not None
                and labels.target == "classes"
                and labels.classes == prediction.classes
            ):
                truth = result[0].values
                labelled = (truth != NONE) & (predicted != NONE)
                verdict = np.where(labelled, truth != predicted, NONE).astype(np.uint16)
                result.append(MapColumn(f"right or wrong, {name}", verdict, ("right", "wrong")))
        if prediction.is_value:
            result += _of_number(name, prediction, labels, rows)
        # vote fractions and several labels answer different questions: the largest of their
        # numbers is no confidence in anything
        elif prediction.kind == "classes":
            confidence = _numbers(prediction.probabilities.max(1), rows)
            result.append(MapColumn(f"confidence, {name}", confidence))
        if prediction.familiarity is not None:
            result.append(
                MapColumn(f"familiarity_p, {name}", _numbers(prediction.familiarity, rows))
            )
    result += _disagreement(ids, predictions or {})
    if catalog is not None:
        result += _of_catalog(ids, catalog)
    return result


def offered(catalog: Catalog, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a data frame of `galaxy_id` and the catalog columns by which a map can be coloured.

    Parameters
    ----------
    catalog : Catalog
        A catalog of any kind.
    names : sequence of str, optional
        Names of columns, as in `USUAL` or as in the catalog. By default the usual columns and, if
        these are at most 60 together, all other columns; except texts and whole numbers that never
        repeat, because they name the galaxies.

    Raises
    ------
    InputError
        The catalog has no column with one of these names.
    """
    frame = catalog.frame
    if names is None:
        usual = [name for name in USUAL if catalog.has_column(name)]
        taken = {
            "galaxy_id",
            *usual,
            *(alias for name in usual for alias in QUANTITIES[name].names),
        }
        names_in_catalog = [
            str(name) for name in frame if name not in taken and not _is_name(frame[name])
        ]
        names = usual + (
            names_in_catalog if len(usual) + len(names_in_catalog) <= MOST_COLUMNS else []
        )
    # keep pandas' own arrays of integers and booleans with missing values: as arrays of objects,
    # they would be treated as texts
    chosen = {name: frame[name].array if name in frame else catalog.column(name) for name in names}
    return pd.DataFrame({"galaxy_id": catalog.ids, **chosen})


def _is_name(values: pd.Series) -> bool:
    return bool(values.is_unique and len(values) > 20 and not pd.api.types.is_float_dtype(values))


def _codes(codes: npt.NDArray[np.int64], rows: npt.NDArray[np.intp]) -> npt.NDArray[np.uint16]:
    """Return each map galaxy's class code from its row in `codes`; `NONE` without a row (−1)."""
    return (
        np.where(rows < 0, NONE, codes[rows]).astype(np.uint16)
        if len(codes)
        else np.full(len(rows), NONE, np.uint16)
    )


def _numbers(
    values: npt.NDArray[np.floating], rows: npt.NDArray[np.intp]
) -> npt.NDArray[np.float32]:
    """Return each map galaxy's value from its row in `values`, rounded; NaN without a row (−1)."""
    return _exact(values, rows).astype(np.float32)


def _exact(values: npt.NDArray[np.floating], rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Return each map galaxy's value from its row in `values`; NaN without a row (−1)."""
    if not len(values):
        return np.full(len(rows), np.nan)
    chosen = np.where(rows < 0, np.nan, values[rows].astype(np.float64))
    return np.where(np.isfinite(chosen), chosen, np.nan)


def _number_column(
    name: str, values: npt.NDArray[np.floating], rows: npt.NDArray[np.intp]
) -> MapColumn:
    """Return a column of numbers with all their digits, in single precision if this keeps them."""
    chosen = _exact(values, rows)
    with np.errstate(over="ignore", under="ignore"):
        short = chosen.astype(np.float32)
    # compare the shortest decimals: 0.1 is kept in single precision, although the bits differ
    written = pa.array(short).cast(pa.string()).cast(pa.float64()).to_numpy()
    kept = np.array_equal(written, chosen, equal_nan=True)
    return MapColumn(name, short if kept else chosen)


def _of_number(
    name: str, prediction: Predictions, labels: Labels | None, rows: npt.NDArray[np.intp]
) -> list[MapColumn]:
    """Return map columns of predicted numbers, and of their residuals if the truth is known."""
    column = prediction.classes[0]
    result = [_number_column(f"predicted {column}, {name}", prediction.values, rows)]
    if labels is not None and (labels.target, labels.classes) == (prediction.kind, (column,)):
        labelled = pd.Index(labels.ids).get_indexer(pd.Index(prediction.ids))
        true = np.where(labelled < 0, np.nan, labels.values[labelled, 0])
        residual = residuals(prediction.values, true, prediction.kind)
        result.append(MapColumn(f"residual, {name}", _numbers(residual, rows)))
    return result


def _of_labels(ids: Ids, labels: Labels) -> list[MapColumn]:
    rows = pd.Index(labels.ids).get_indexer(pd.Index(ids))
    if labels.target == "classes":
        name = "label" if labels.scheme == Labels.scheme else f"label, {labels.scheme}"
        return [MapColumn(name, _codes(labels.codes, rows), labels.classes)]
    named = zip(labels.classes, labels.values.T, strict=True)
    if labels.target == "multi-label":
        return [
            MapColumn(name, _codes(values.astype(np.int64), rows), ("no", "yes"))
            for name, values in named
        ]
    return [_number_column(name, values, rows) for name, values in named]


def _disagreement(ids: Ids, predictions: Mapping[str, Predictions]) -> list[MapColumn]:
    approaches = list(predictions.values())
    if len(approaches) < 2 or any(
        prediction.classes != approaches[0].classes or prediction.kind != "classes"
        for prediction in approaches
    ):
        return []
    aligned = []
    for prediction in approaches:
        rows = pd.Index(prediction.ids).get_indexer(pd.Index(ids))
        aligned.append(np.where(rows[:, None] < 0, np.nan, prediction.probabilities[rows]))
    apart = [np.abs(a - b).sum(1) / 2 for a, b in combinations(aligned, 2)]
    return [MapColumn("disagreement", np.mean(apart, axis=0).astype(np.float32))]


def _of_catalog(ids: Ids, catalog: pd.DataFrame) -> list[MapColumn]:
    if "galaxy_id" not in catalog.columns:
        raise InputError(
            "catalog of a map",
            rule="have a column galaxy_id",
            found=", ".join(map(str, catalog.columns[:20])),
        )
    catalog_ids = as_ids(catalog["galaxy_id"], where="catalog")
    require_unique(catalog_ids, where="catalog")
    rows = pd.Index(catalog_ids).get_indexer(pd.Index(ids))
    offered = catalog.drop(columns="galaxy_id")
    result = [
        column
        for name in offered
        if (column := _of_series(str(name), offered[name], rows)) is not None
    ]
    if len(result) > MOST_COLUMNS:
        raise InputError(
            "columns of a map's catalog",
            rule=f"be at most {MOST_COLUMNS}",
            found=len(result),
            remedy="choose the columns to colour by",
        )
    return result


def _without_limits(values: pd.Series) -> pd.Series:
    """Mark the smallest and largest int64 in whole numbers as missing, which programs mean by them.

    Other numbers keep every digit: the result is nullable.
    """
    limits = np.iinfo(np.int64)
    return values.convert_dtypes().mask(values.isin([limits.min, limits.max]))


def _is_beyond_floats(values: pd.Series) -> bool:
    """Return whether a column has whole numbers of which float64 does not hold every digit."""
    if not pd.api.types.is_integer_dtype(values) or not values.notna().any():
        return False
    return max(abs(int(values.min())), abs(int(values.max()))) > 2**53


def _of_series(name: str, values: pd.Series, rows: npt.NDArray[np.intp]) -> MapColumn | None:
    if pd.api.types.is_bool_dtype(values):
        flags = np.where(values.isna(), NONE, values.fillna(False).to_numpy(dtype=np.int64))
        return MapColumn(name, _codes(flags, rows), ("no", "yes"))
    if pd.api.types.is_integer_dtype(values):
        values = _without_limits(values)
    # whole numbers beyond 2^53 are names, which no float holds: they become classes below, or none
    if pd.api.types.is_numeric_dtype(values) and not _is_beyond_floats(values):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return _number_column(name, numbers, rows)
    text = values.astype("string")
    text = text.mask(text == "")
    classes = tuple(sorted(text.dropna().unique()))
    if not 1 <= len(classes) <= MOST_CLASSES:
        return None
    codes = pd.Index(classes).get_indexer(pd.Index(text))
    return MapColumn(name, _codes(np.where(codes < 0, NONE, codes), rows), classes)
