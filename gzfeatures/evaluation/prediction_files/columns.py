"""Convert predictions to the columns of a file, and such columns back to predictions."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.evaluation.prediction_files.flags import flags_of, sets_of
from gzfeatures.galaxies.labels.redshift_names import REDSHIFTS
from gzfeatures.ids import as_ids

if TYPE_CHECKING:
    from gzfeatures.evaluation.predictions import Predictions

PREDICTED = "predicted_"
"""Beginning of the name of the column of predicted numbers."""
BOUNDS = ("lower", "upper")
"""Columns of the lower and upper ends of the intervals of predicted numbers."""
UNFAMILIAR = "unfamiliar"
"""Reason of an empty class set: the galaxy is unlike the training galaxies."""
RESERVED: dict[str, str] = {
    "galaxy_id": "",
    "predicted_class": "classes",
    "predicted_labels": "multi-label",
    "class_set": "",
    "empty_because": "",
    "familiarity_p": "",
    "trained_on": "",
}
"""Columns that are not named after a class, with the kind of prediction that a column implies."""

UCDS = {
    "galaxy_id": "meta.id",
    "predicted_class": "src.morph.type",
    "predicted_labels": "src.morph.type",
    "class_set": "src.morph.type",
    "empty_because": "meta.note",
    "familiarity_p": "stat.probability",
    "trained_on": "meta.code",
}
"""Meanings of columns of predictions in the words of the Virtual Observatory (UCD1+ 1.6)."""


def ucds_of(names: Collection[str]) -> dict[str, str]:
    """Return a UCD (Virtual Observatory term) for each column of predicted classes.

    Files without a column `predicted_class` or `predicted_labels` get no UCDs.

    Examples
    --------
    >>> ucds_of(["galaxy_id", "predicted_class", "spiral"])["spiral"]
    'stat.probability;src.morph.type'
    >>> ucds_of(["galaxy_id", "spiral"])
    {}
    """
    if not {"predicted_class", "predicted_labels"} & set(names):
        return {}
    return {name: UCDS.get(name, f"stat.probability;{UCDS['predicted_class']}") for name in names}


def number_columns(column: str, *, bounds: bool) -> tuple[str, ...]:
    """Return the column names of a predicted number and of its interval.

    Examples
    --------
    >>> number_columns("redshift", bounds=True)
    ('predicted_redshift', 'lower', 'upper')
    """
    return (f"{PREDICTED}{column}", *(BOUNDS if bounds else ()))


def joined_names(classes: tuple[str, ...], flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.object_]:
    """Join with `|`, for each row of booleans, the names of the classes that are True.

    Examples
    --------
    >>> joined_names(("spiral", "merger"), np.array([[True, True], [False, True]])).tolist()
    ['spiral|merger', 'merger']
    """
    names = np.asarray(classes, dtype=object)
    return np.array(["|".join(names[row]) for row in flags], dtype=object)


def columns_of(predictions: Predictions, path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the columns to write for predictions, by name, each of shape (n,).

    Parameters
    ----------
    predictions : Predictions
        Predictions to write; `Predictions.write` lists the columns.
    path : Path
        Path of the file, used only in error messages.

    Raises
    ------
    InputError
        A class has the same name as another column, or a name with `|` would be joined by it.
    """
    columns: dict[str, npt.NDArray[Any]] = {"galaxy_id": predictions.ids}
    classes, probabilities = predictions.classes, predictions.probabilities
    if predictions.is_value:
        columns |= predictions.number_columns
    elif predictions.kind == "classes":
        columns["predicted_class"] = predictions.names
    elif predictions.kind == "multi-label":
        columns["predicted_labels"] = joined_names(classes, probabilities >= 0.5)
    class_sets, empty_because = predictions.class_sets, predictions.empty_because
    if class_sets is not None:
        columns["class_set"] = class_sets
    if empty_because is not None and (empty_because != "").any():
        columns["empty_because"] = empty_because
    if predictions.familiarity is not None:
        columns["familiarity_p"] = predictions.familiarity
    if predictions.seen is not None:
        columns["trained_on"] = predictions.seen
    if predictions.is_value:
        return columns
    joined = next((name for name in classes if "|" in name), None)
    if joined is not None and {"predicted_labels", "class_set"} & set(columns):
        raise InputError(
            "name of a class contains |",
            where=path,
            rule="not contain the character that joins names of classes",
            found=joined,
            remedy="rename the class",
        )
    taken = set(classes) & {*columns, *RESERVED}
    if taken:
        raise InputError(
            "class has the name of a column", where=path, rule="differ from it", found=min(taken)
        )
    per_class = np.asarray(probabilities, dtype=np.float64).T
    return columns | dict(zip(classes, per_class, strict=True))


def fields_of(frame: pd.DataFrame, path: Path, number: str | None = None) -> dict[str, Any]:
    """Return the fields of `Predictions` from the columns of a file.

    Parameters
    ----------
    frame : DataFrame
        Columns of the file, with `galaxy_id` among them.
    path : Path
        Path of the file, used only in error messages.
    number : {"value", "redshift"}, optional
        Whether predicted numbers are redshifts; by default decided by the name of their column.

    Raises
    ------
    InputError
        A column of numbers contains text, or a cell of `trained_on` or `class_set` is empty or has
        a value that cannot be read (see `flags`).
    """
    column = _number_column(frame)
    if column is not None:
        fields = _numbers(frame, column, path, number)
    else:
        fields = _probabilities(frame, path)
    if "trained_on" in frame:
        fields["seen"] = flags_of(frame, "trained_on", path)
    if "familiarity_p" in frame:
        fields["familiarity"] = _floats(frame[["familiarity_p"]], "familiarity_p", path)[:, 0]
    # read ids as text, because floating-point numbers would round ids of 64 bits
    return {"ids": as_ids(frame["galaxy_id"], where=path), **fields}


def _probabilities(frame: pd.DataFrame, path: Path) -> dict[str, Any]:
    """Return probabilities, class names, class sets and kind (such as fractions) from columns."""
    # every column without a reserved name holds the probabilities of one class
    classes = tuple(str(name) for name in frame.columns if name not in RESERVED)
    kind = next((RESERVED[name] for name in frame.columns if RESERVED.get(name)), "fractions")
    probabilities = _floats(frame[list(classes)], "probability is not a number", path)
    fields: dict[str, Any] = {"probabilities": probabilities, "classes": classes, "kind": kind}
    if "class_set" in frame:
        fields["sets"] = sets_of(frame, classes, path)
    if "empty_because" in frame:
        fields["unfamiliar"] = (frame["empty_because"] == UNFAMILIAR).to_numpy(bool)
    return fields


def _numbers(frame: pd.DataFrame, column: str, path: Path, kind: str | None) -> dict[str, Any]:
    """Return predicted numbers and interval ends from a file's columns."""
    name = column.removeprefix(PREDICTED)
    columns = [column, *(end for end in BOUNDS if end in frame)]
    numbers = _floats(frame[columns], "predicted number", path)
    return {
        "probabilities": numbers[:, :1],
        "classes": (name,),
        "kind": kind or ("redshift" if name.lower() in REDSHIFTS else "value"),
        "bounds": numbers[:, 1:] if len(columns) == 1 + len(BOUNDS) else None,
    }


def _floats(columns: pd.DataFrame, what: str, path: Path) -> npt.NDArray[np.float64]:
    """Return columns of a file as numbers, shape (n, columns); refuse text."""
    try:
        return columns.to_numpy(np.float64)
    except ValueError as error:
        raise InputError(what, where=path, found=str(error)) from None


def _number_column(frame: pd.DataFrame) -> str | None:
    """Return the name of the column of predicted numbers; None for a file of classes."""
    classes = {"predicted_class", "predicted_labels"}
    columns = [name for name in frame.columns if name.startswith(PREDICTED)]
    # in a file with a column of predicted classes, a column predicted_… holds no predicted numbers,
    # but the probabilities of a class whose name is predicted_…
    if classes & set(frame.columns) or len(columns) != 1:
        return None
    others = {"galaxy_id", "familiarity_p", "trained_on", *BOUNDS, *columns}
    return str(columns[0]) if set(frame.columns) <= others else None
