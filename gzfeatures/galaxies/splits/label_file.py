"""Read and write label files: one galaxy per line, with label, votes and part of the split."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.label_words import ASK, LabelWords
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.labels.target_column import TargetColumn
from gzfeatures.galaxies.splits.split import PARTS, Split
from gzfeatures.ids import Ids, among, as_ids
from gzfeatures.tablefiles.tables import ID_COLUMNS, read_table, write_csv

SEPARATOR = "|"
VOTES = "votes "
"""Prefix of the columns that hold the vote fraction of each class."""
EMPTY = "label is empty"


def write_labels(
    path: str | Path,
    labels: Labels,
    split: Split | None = None,
    groups: Mapping[str, str] | None = None,
) -> Path:
    """Write a label file with ids, labels and, if given, split, groups and vote fractions.

    Parameters
    ----------
    path : str or Path
        CSV file to appear.
    labels : Labels
        Multi-label: names joined by "|". Fractions: one column per answer in place of `label`. Vote
        fractions beside classes get a column `votes <class>` each.
    split : Split, optional
        Its part is written per galaxy; galaxies outside the split get none.
    groups : mapping of str to str, optional
        Id → group, default those of the split.

    Raises
    ------
    InputError
        A class name holds the separator.
    OutputError
        The file cannot be written.
    """
    columns: dict[str, Any] = {"galaxy_id": labels.ids}
    if labels.target == "classes":
        columns["label"] = labels.names
    elif labels.target == "multi-label":
        if any(SEPARATOR in name for name in labels.classes):
            raise InputError(
                "class name", where=path, rule=f"not hold '{SEPARATOR}'", found=list(labels.classes)
            )
        names = np.asarray(labels.classes, dtype=object)
        columns["label"] = [SEPARATOR.join(names[row]) for row in labels.values]
    else:
        columns |= {name: labels.values[:, column] for column, name in enumerate(labels.classes)}
    if split is not None:
        part_of = {name: part for part in PARTS for name in getattr(split, part)}
        columns["split"] = [part_of.get(name, "") for name in labels.ids]
    groups = split.groups if groups is None and split is not None else groups
    if groups:
        columns["group"] = [groups.get(name, "") for name in labels.ids]
    if labels.soft is not None:
        columns |= {
            f"{VOTES}{name}": labels.soft[:, column] for column, name in enumerate(labels.classes)
        }
    return write_csv(pd.DataFrame(columns), path)


def read_labels(
    path: str | Path, *, words: LabelWords = ASK, id_column: str | None = None
) -> tuple[Labels, Split | None]:
    """Read a label file: any table with an id column and a column `label` or vote fractions.

    Parameters
    ----------
    path : str or Path
        CSV, Parquet or FITS; see `write_labels`. Where a label holds "|" the labels are
        multi-label, and an empty one means that none is true; else a galaxy with an empty label is
        left out. Columns `votes <class>`, one for every class, are their vote fractions.
    words : LabelWords
        What `NA`, `None` and their like mean in the column `label`.
    id_column : str, optional
        Column of the ids, where none of those known is there.

    Returns
    -------
    labels : Labels
        Classes in alphabetical order.
    split : Split or None
        None where there is no column `split`.

    Raises
    ------
    MissingFileError
        It is not there.
    InputError
        It has no id or label column, a label may be a class or nobody's answer, an id repeats,
        class names differ by case only, a fraction is outside [0, 1], or a part is not one of
        train, validation, test.
    """
    frame = read_table(path, id_column=id_column, texts=("label",))
    id_column = next((name for name in (*ID_COLUMNS, id_column) if name in frame), None)
    if id_column is None:
        raise InputError(
            "labels have no id",
            where=path,
            rule="have a column galaxy_id",
            found=", ".join(frame.columns[:12]),
            remedy="name the column of the ids with --id COLUMN",
        )
    ids = as_ids(frame[id_column], where=path)
    if "label" in frame:
        frame["label"] = pd.Series(
            words.read(frame["label"], ids, path), index=frame.index, dtype="str"
        )
        labels = _with_votes(_named(frame["label"], ids, path), frame.set_axis(ids), path)
    else:
        labels = _fractions(frame.drop(columns=id_column), ids, path)
    return labels, _split_of(frame, ids, labels, path)


def read_target(
    path: str | Path,
    target: TargetColumn,
    *,
    catalog: Catalog | None = None,
    id_column: str | None = None,
) -> tuple[Labels, Split | None]:
    """Read the number to be predicted of each galaxy in a labels file or catalog, and its split.

    Parameters
    ----------
    path : str or Path
        Any table with an id column that `Catalog.read` reads; its columns `split` and `group` are
        read as those of a labels file.
    target : TargetColumn
        The column, in this file or else in `catalog`.
    catalog : Catalog, optional
        Where the column is looked for if the file lacks it; galaxies of the file that it lacks have
        an unknown number.
    id_column : str, optional
        Column of the ids in the file, where none of those known is there.

    Raises
    ------
    MissingFileError, InputError
        As `Catalog.read` and `TargetColumn.labels`; a part of the split is unknown.
    """
    galaxies = Catalog.read(path, id_column=id_column)
    source = galaxies
    # the file itself goes before the catalog: it was named as the one with the labels
    if catalog is not None and not galaxies.has_column(target.column):
        source = catalog.select(galaxies.ids[among(galaxies.ids, catalog.ids)])
    labels = target.labels(source)
    absent = galaxies.ids[~among(galaxies.ids, source.ids)]
    if len(absent):
        reasons = {**labels.left_out, "is not in the catalog": absent}
        labels = dataclasses.replace(labels, left_out=reasons)
    return labels, _split_of(galaxies.frame, galaxies.ids, labels, path)


def _split_of(frame: pd.DataFrame, ids: Ids, labels: Labels, path: object) -> Split | None:
    """Return the split that a labels file's own columns give; None without a column `split`."""
    if "split" not in frame:
        return None
    # pandas reads an empty column as numbers; as text it says that no galaxy has a part
    part = frame["split"].astype("str").fillna("")
    strange = ~part.isin(("", *PARTS)).to_numpy()
    if strange.any():
        raise InputError(
            "unknown part of the split",
            where=f"{path}, galaxy {ids[np.argmax(strange)]}",
            rule=f"be one of {', '.join(PARTS)}",
            found=str(part[strange].iloc[0]),
        )
    labelled = among(ids, labels.ids)
    sides = [ids[labelled & (part == name).to_numpy()] for name in PARTS]
    groups: dict[str, str] = {}
    if "group" in frame:
        grouped = frame["group"].notna().to_numpy() & labelled
        groups = dict(zip(ids[grouped], frame["group"][grouped].astype("str"), strict=True))
    return Split(sides[0], sides[1], sides[2], groups)


def _named(column: pd.Series, ids: Any, path: object) -> Labels:
    """Return labels from class names; names separated by "|" give several classes per galaxy."""
    # a blank after a class name is a typing error, not another class
    text = column.astype("str").fillna("").str.strip().to_numpy(object)
    if any(SEPARATOR in label for label in text):
        sets = [{name.strip() for name in label.split(SEPARATOR)} - {""} for label in text]
        classes = tuple(sorted(set().union(*sets)))
        _require_distinct([name for names in sets for name in names], path)
        values = np.array([[name in names for name in classes] for names in sets])
        return Labels(ids, classes, values, "multi-label")
    # in a file with one class per galaxy, an empty cell means that the galaxy has no label
    labelled = text != ""
    _require_distinct(text[labelled], path)
    names, codes = np.unique(text[labelled], return_inverse=True)
    left_out = {EMPTY: ids[~labelled]} if not labelled.all() else {}
    return Labels(ids[labelled], tuple(names.tolist()), codes.astype(np.int64), left_out=left_out)


def _require_distinct(names: Sequence[str] | npt.NDArray[np.object_], path: object) -> None:
    """Refuse class names that differ only by upper and lower case or by blanks."""
    numbers = pd.Series(names, dtype=object).value_counts()
    alike: dict[str, list[str]] = {}
    for name in sorted(numbers.index):
        # Unicode's NFKC form makes equal-looking letters equal, whether typed as one sign or two
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


def _fractions(frame: pd.DataFrame, ids: Any, path: object) -> Labels:
    """Return vote fractions as labels: each numeric column is an answer."""
    answers = [
        str(name)
        for name in frame.columns
        if name not in ("split", "group") and frame[name].dtype.kind in "if"
    ]
    if not answers:
        raise InputError(
            "labels are missing",
            where=path,
            rule="have a column label",
            found=", ".join(frame.columns[:12]),
        )
    return Labels(ids, tuple(answers), _shares(frame[answers], ids, path), "fractions")


def _with_votes(labels: Labels, frame: pd.DataFrame, path: object) -> Labels:
    """Return the labels with vote fractions added, if the file has them for every class."""
    classes = tuple(
        sorted(name.removeprefix(VOTES) for name in frame.columns if name.startswith(VOTES))
    )
    if not set(labels.classes) <= set(classes):
        return labels
    votes = frame[[f"{VOTES}{name}" for name in classes]].loc[list(labels.ids)]
    return dataclasses.replace(labels.ordered(classes), soft=_shares(votes, labels.ids, path))


def _shares(frame: pd.DataFrame, ids: Ids, path: object) -> npt.NDArray[np.float64]:
    """Return vote fractions as an array, shape (n, k); refuse values outside [0, 1]."""
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
