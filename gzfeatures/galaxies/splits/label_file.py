"""Read and write label files: one galaxy per line, with label, votes and part of the split."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.label_words import ASK, LabelWords
from gzfeatures.galaxies.catalogs.quantities import column_of
from gzfeatures.galaxies.labels.label_columns import EMPTY as EMPTY
from gzfeatures.galaxies.labels.label_columns import SEPARATOR, VOTES, read_columns
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.labels.redshift_names import REDSHIFTS
from gzfeatures.galaxies.labels.target_column import TargetColumn
from gzfeatures.galaxies.splits.related_galaxies import known_keys
from gzfeatures.galaxies.splits.split import PARTS, Split
from gzfeatures.ids import Ids, among
from gzfeatures.tablefiles.cells import texts_of
from gzfeatures.tablefiles.tables import ID_COLUMNS, write_csv


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
        CSV file to write.
    labels : Labels
        Several classes of a galaxy are written as names joined by "|"; if no galaxy has several,
        each cell ends in "|", so that the file still says that a galaxy may have several or none.
        Vote fractions as labels get one column per answer in place of `label`; vote fractions in
        addition to classes get a column `votes <class>` each.
    split : Split, optional
        The part of each galaxy is written; galaxies outside the split get an empty cell.
    groups : mapping of str to str, optional
        Id → group; by default the groups of the split.

    Raises
    ------
    InputError
        A class name contains the separator "|", is empty, or begins or ends with a blank; or an
        answer or number has the name of another column of a label file.
    OutputError
        The file cannot be written.

    Examples
    --------
    >>> from gzfeatures.ids import as_ids
    >>> labels = Labels(as_ids(["12", "13"]), ("disk", "smooth"), np.array([1, 0]))
    >>> print(write_labels("labels.csv", labels).read_text())
    galaxy_id,label
    12,smooth
    13,disk
    <BLANKLINE>
    """
    _require_names(labels, path)
    columns: dict[str, Any] = {"galaxy_id": labels.ids}
    if labels.target == "classes":
        columns["label"] = labels.names
    elif labels.target == "multi-label":
        names = np.asarray(labels.classes, dtype=object)
        cells = [SEPARATOR.join(names[row]) for row in labels.values]
        # without the separator in any cell, the file would be read as one class per galaxy, and
        # galaxies of no class as unlabelled
        end = "" if any(SEPARATOR in cell for cell in cells) else SEPARATOR
        columns["label"] = [cell + end for cell in cells]
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


def _require_names(labels: Labels, path: str | Path) -> None:
    """Refuse names of classes, answers or numbers that a label file would give back changed."""
    if labels.target in ("classes", "multi-label"):
        fault, rule = "class name", f"not hold '{SEPARATOR}', nor be empty or end in blanks"
        bad = [
            name for name in labels.classes if SEPARATOR in name or not name or name != name.strip()
        ]
    else:
        fault, rule = "name of a column of numbers", "mean nothing else in a label file"
        bad = [name for name in labels.classes if name in ("galaxy_id", "split", "group")]
        # a number to be predicted is read by its name, so only a vote fraction must not look like a
        # label or a redshift
        if labels.target == "fractions":
            taken = {"label", *REDSHIFTS}
            bad += [n for n in labels.classes if n.lower() in taken or n in ID_COLUMNS]
    if bad:
        raise InputError(fault, where=path, rule=rule, found=bad[0], remedy="choose another name")


def read_labels(
    path: str | Path, *, words: LabelWords = ASK, id_column: str | None = None
) -> tuple[Labels, Split | None]:
    """Read a label file: a table with ids, and a column `label` or columns of vote fractions.

    Parameters
    ----------
    path : str or Path
        CSV, Parquet or FITS; see `write_labels`. If any label contains "|", a galaxy may have
        several classes, and an empty label means that it has none; otherwise a galaxy with an empty
        label is left out. Columns `votes <class>`, one for every class, contain the vote fractions.
    words : LabelWords
        What words such as `NA` and `None` mean in the column `label`.
    id_column : str, optional
        Column of the ids; by default the first with a usual name of ids.

    Returns
    -------
    labels : Labels
        Classes in alphabetical order.
    split : Split or None
        None if the file has no column `split`.

    Raises
    ------
    MissingFileError
        The file does not exist.
    InputError
        The file has no id or label column, a label may be a class or a missing label, an id
        repeats, class names differ by case only, a fraction is outside [0, 1], or a part is not one
        of train, validation, test.

    Examples
    --------
    >>> lines = "galaxy_id,label,split\\n12,smooth,train\\n13,disk,test\\n"
    >>> _ = Path("labels.csv").write_text(lines)
    >>> labels, split = read_labels("labels.csv")
    >>> labels.classes, split.test.tolist()
    (('disk', 'smooth'), ['13'])
    """
    columns = read_columns(path, words, id_column)
    labels = Labels(**columns.fields)
    return labels, _split_of(columns.frame, columns.ids, labels, path)


def read_target(
    path: str | Path,
    target: TargetColumn,
    *,
    catalog: Catalog | None = None,
    id_column: str | None = None,
) -> tuple[Labels, Split | None]:
    """Read the number to be predicted for each galaxy, and the split, from a label file or catalog.

    Parameters
    ----------
    path : str or Path
        Any table with an id column that `Catalog.read` reads; its columns `split` and `group` are
        read as those of a labels file.
    target : TargetColumn
        The column with the numbers, in this file or, if the file lacks it, in `catalog`. A column
        with text in this file is refused, not replaced by that of the catalog.
    catalog : Catalog, optional
        Catalog with the column if the file lacks it; galaxies that are not in the catalog have an
        unknown number.
    id_column : str, optional
        Column of the ids in the file; by default the first with a usual name of ids.

    Raises
    ------
    MissingFileError, InputError
        As for `Catalog.read` and `TargetColumn.labels`; or a part of the split is unknown.
    """
    galaxies = Catalog.read(path, id_column=id_column)
    source = galaxies
    # prefer the label file's own column to the same column in the catalog, because the user named
    # this file as the one with labels
    if catalog is not None and not _has_own(galaxies, target.column):
        source = catalog.select(galaxies.ids[among(galaxies.ids, catalog.ids)])
    labels = target.labels(source)
    absent = galaxies.ids[~among(galaxies.ids, source.ids)]
    if len(absent):
        reasons = {**labels.left_out, "is not in the catalog": absent}
        labels = dataclasses.replace(labels, left_out=reasons)
    return labels, _split_of(galaxies.frame, galaxies.ids, labels, path)


def _has_own(galaxies: Catalog, column: str) -> bool:
    """Return whether a table has a column for a quantity, be it numbers or faulty text."""
    lookup = column_of(galaxies.frame, column)
    texts = [name for name in lookup.refused if galaxies.frame[name].dtype.kind not in "iufb"]
    return lookup.column is not None or column in galaxies.frame or bool(texts)


def _split_of(frame: pd.DataFrame, ids: Ids, labels: Labels, path: object) -> Split | None:
    """Return the split stored in a label file's column `split`; None without this column."""
    if "split" not in frame:
        return None
    # read the column as text: pandas reads an empty column as numbers, but here it means that no
    # galaxy is in any part
    part = texts_of(frame["split"])
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
        grouped = known_keys(frame["group"]).notna().to_numpy() & labelled
        groups = dict(zip(ids[grouped], frame["group"][grouped].astype("str"), strict=True))
    return Split(sides[0], sides[1], sides[2], groups)
