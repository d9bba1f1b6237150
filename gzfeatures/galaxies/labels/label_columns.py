"""Read the labels of galaxies from the columns of a table file."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.label_words import ASK, LabelWords
from gzfeatures.galaxies.catalogs.quantities import strange_cells
from gzfeatures.galaxies.labels.redshift_names import REDSHIFTS
from gzfeatures.ids import Ids, as_ids
from gzfeatures.tablefiles.cells import texts_of
from gzfeatures.tablefiles.tables import ID_COLUMNS, id_column_of, read_table

SEPARATOR = "|"
VOTES = "votes "
"""Prefix of the columns that hold the vote fraction of each class."""
EMPTY = "label is empty"


@dataclasses.dataclass(frozen=True, eq=False)
class LabelColumns:
    """Store a label file's table, and the labels that its columns contain.

    Parameters
    ----------
    frame : DataFrame
        All columns of the file.
    ids : Ids
        Galaxy of each row, shape (n,).
    fields : dict
        Arguments of `Labels`.
    """

    frame: pd.DataFrame
    ids: Ids
    fields: dict[str, Any]


def read_columns(
    path: str | Path, words: LabelWords = ASK, id_column: str | None = None
) -> LabelColumns:
    """Read the labels of galaxies from a table with a column `label` or columns of vote fractions.

    Parameters
    ----------
    path : str or Path
        CSV, Parquet or FITS. If any label contains "|", a galaxy may have several classes, and an
        empty label means that it has none; otherwise a galaxy with an empty label is left out.
        Columns `votes <class>`, one for every class, contain the vote fractions.
    words : LabelWords
        What words such as `NA` and `None` mean in the column `label`.
    id_column : str, optional
        Column of the ids; by default the first with a usual name of ids.

    Raises
    ------
    MissingFileError
        The file does not exist.
    InputError
        The file has no id or label column, a label may be a class or a missing label, class names
        differ by case only, or a fraction is outside [0, 1] or no number.
    """
    frame = read_table(path, id_column=id_column, texts=("label",))
    id_column = id_column_of(list(frame.columns), id_column)
    if id_column is None:
        raise InputError(
            "labels have no id",
            where=path,
            rule="have a column galaxy_id",
            found=", ".join(frame.columns[:12]),
            remedy="name the column of the ids with --id COLUMN",
        )
    ids = as_ids(frame[id_column], where=path)
    if "label" not in frame:
        return LabelColumns(frame, ids, _fractions(frame.drop(columns=id_column), ids, path))
    frame["label"] = pd.Series(
        words.read(frame["label"], ids, path), index=frame.index, dtype="str"
    )
    fields = _named(frame["label"], ids, path)
    return LabelColumns(frame, ids, _with_votes(fields, frame.set_axis(ids), path))


def _named(column: pd.Series, ids: Any, path: object) -> dict[str, Any]:
    """Return labels from class names; names separated by "|" give several classes per galaxy."""
    # strip blanks, because a blank after a class name is a typing error, not another class
    text = texts_of(column).str.strip().to_numpy(object)
    if any(SEPARATOR in label for label in text):
        sets = [{name.strip() for name in label.split(SEPARATOR)} - {""} for label in text]
        classes = tuple(sorted(set().union(*sets)))
        _require_distinct([name for names in sets for name in names], path)
        values = np.array([[name in names for name in classes] for names in sets], dtype=bool)
        return {"ids": ids, "classes": classes, "values": values, "target": "multi-label"}
    # an empty cell means "no label" in this file; in a multi-label file it would mean that no class
    # is true
    labelled = text != ""
    _require_distinct(text[labelled], path)
    names, codes = np.unique(text[labelled], return_inverse=True)
    left_out = {EMPTY: ids[~labelled]} if not labelled.all() else {}
    return {
        "ids": ids[labelled],
        "classes": tuple(names.tolist()),
        "values": codes.astype(np.int64),
        "target": "classes",
        "left_out": left_out,
    }


def _require_distinct(names: Sequence[str] | npt.NDArray[np.object_], path: object) -> None:
    """Refuse class names that differ only by upper and lower case or by blanks."""
    numbers = pd.Series(names, dtype=object).value_counts()
    alike: dict[str, list[str]] = {}
    for name in sorted(numbers.index):
        # Unicode's NFKC form makes letters that look equal compare equal, even if one of them is
        # written as two characters (a letter and its accent)
        folded = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        alike.setdefault(folded, []).append(name)
    for spellings in alike.values():
        if len(spellings) > 1:
            raise InputError(
                "classes differ by case or blanks only",
                where=path,
                rule="be spelled one way each",
                found=", ".join(f"'{name}' of {numbers[name]} galaxies" for name in spellings),
                remedy="write one class one way, or give two classes names that differ by more",
            )


def _fractions(frame: pd.DataFrame, ids: Any, path: object) -> dict[str, Any]:
    """Return vote fractions as labels: each numeric column of the table is one answer.

    A redshift is no answer, although many redshifts lie in [0, 1].
    """
    misspelt = [name for name in frame.columns if str(name).lower() == "label"]
    if misspelt:
        raise InputError(
            "labels are missing",
            where=path,
            rule="have a column label, in lower case",
            found=misspelt[0],
            remedy="rename this column",
        )
    redshifts = [str(name) for name in frame.columns if str(name).lower() in REDSHIFTS]
    known = {*ID_COLUMNS, *redshifts, "split", "group"}
    others = [str(name) for name in frame.columns if name not in known]
    answers = [name for name in others if frame[name].dtype.kind in "if"]
    if not answers:
        raise InputError(
            "labels are missing",
            where=path,
            rule="have a column label",
            found=", ".join(frame.columns[:12]),
            remedy=f"say --target {redshifts[0]} to predict this number" if redshifts else None,
        )
    for name in others:
        _require_words(frame[name], path)
    values = _shares(frame[answers], ids, path)
    return {"ids": ids, "classes": tuple(answers), "values": values, "target": "fractions"}


def _require_words(column: pd.Series, path: object) -> None:
    """Refuse a text column with numbers: one word makes text of a whole column of fractions."""
    if column.dtype.kind in "biuf":
        return
    numbers = pd.to_numeric(texts_of(column), errors="coerce")
    # texts that are all numbers, or numbers outside [0, 1], are names such as 1234 or 00123
    if numbers.between(0, 1).any() and (numbers.isna() & column.notna() & (column != "")).any():
        raise InputError(
            "column is text, but some of its cells are numbers",
            where=f"{path}, column {column.name}",
            rule="hold vote fractions, empty where they are unknown, or no number",
            found=strange_cells(column),
            remedy="empty or correct these cells, or leave the column out",
        )


def _with_votes(fields: dict[str, Any], frame: pd.DataFrame, path: object) -> dict[str, Any]:
    """Add vote fractions to labels, if the label file has a column of fractions for every class."""
    classes = tuple(
        sorted(name.removeprefix(VOTES) for name in frame.columns if name.startswith(VOTES))
    )
    labelled: tuple[str, ...] = fields["classes"]
    if not classes or not set(labelled) <= set(classes):
        return fields
    votes = frame[[f"{VOTES}{name}" for name in classes]].loc[list(fields["ids"])]
    # `classes` also contains classes without any labelled galaxy, so a class may have another
    # position in `classes` than in `labelled`
    place = np.asarray([classes.index(name) for name in labelled], dtype=np.int64)
    if fields["target"] == "classes":
        values: npt.NDArray[Any] = place[fields["values"]]
    else:
        values = np.zeros((len(fields["ids"]), len(classes)), dtype=bool)
        values[:, place] = fields["values"]
    soft = _shares(votes, fields["ids"], path)
    return {**fields, "classes": classes, "values": values, "soft": soft}


def _shares(frame: pd.DataFrame, ids: Ids, path: object) -> npt.NDArray[np.float64]:
    """Return the vote fractions in a label file, shape (n, k); refuse values outside [0, 1]."""
    words = [str(name) for name in frame.columns if frame[name].dtype.kind not in "biuf"]
    if words:
        raise InputError(
            "vote fractions are text",
            where=f"{path}, column {words[0]}",
            rule="be numbers in [0, 1], empty where they are unknown",
            found=strange_cells(frame[words[0]]),
        )
    values = frame.to_numpy(dtype=np.float64)
    outside = (values < 0) | (values > 1)
    if outside.any():
        row, column = np.argwhere(outside)[0]
        raise InputError(
            "vote fraction out of range",
            where=f"{path}, galaxy {ids[row]}, column {frame.columns[column]}",
            rule="lie in [0, 1]",
            found=float(values[row, column]),
        )
    return values
