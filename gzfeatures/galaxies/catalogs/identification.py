"""Read a table of galaxies, recognise its kind (Kaggle, GZ2, …), and give each row a galaxy id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs import checks, quantities
from gzfeatures.galaxies.catalogs.kinds import READY_CLASSES, recognise
from gzfeatures.galaxies.votes.campaigns import foreign
from gzfeatures.ids import as_ids
from gzfeatures.tablefiles.cells import texts_of
from gzfeatures.tablefiles.tables import ID_COLUMNS, read_table


def hashable(values: pd.Series) -> npt.NDArray[Any]:
    """Return a column as numbers for a checksum; texts are replaced by their hashes."""
    if values.dtype.kind not in "iufb":
        return pd.util.hash_array(values.to_numpy(object))
    # float64 is exact here, because integer columns with gaps and numbers above 2^53 were converted
    # to text; NaN marks the gaps
    if isinstance(values.dtype, pd.api.extensions.ExtensionDtype):
        return values.to_numpy(np.float64)
    return values.to_numpy()


def other_ids(frame: pd.DataFrame) -> list[str]:
    """Return a list with a sentence on further id columns of the catalog; empty if it has none."""
    named_by = frame.attrs["id_column"]
    others = [name for name in ID_COLUMNS if name in frame and name not in ("galaxy_id", named_by)]
    # exclude ids that were read as floats, because they have lost digits and cannot name galaxies
    others = [name for name in others if frame[name].dtype.kind != "f"]
    if not others:
        return []
    return [f"galaxies are named by {named_by}; {', '.join(others)} could name them too (--id)"]


def notes_of(frame: pd.DataFrame) -> list[str]:
    """Return sentences on changes made in reading a catalog, and on votes that were not read."""
    strangers = foreign(frame.columns).items()
    unread = [f"votes of Galaxy Zoo '{name}' are not read: {why}" for name, why in strangers]
    return [*frame.attrs.get("notes", []), *quantities.notes(frame), *unread]


def unknown_classes(frame: pd.DataFrame) -> Iterator[checks.Finding]:
    """Yield findings on columns of ready-made classes with names that are no such class."""
    for column, ready in READY_CLASSES.items():
        if column in frame:
            names = texts_of(frame[column])
            strange = np.flatnonzero(~names.isin(["", *ready.classes]))
            if len(strange):
                rule = f"{column} must be a class of {ready.scheme} or empty"
                yield checks.Finding(
                    rule, strange, names.iloc[strange].tolist(), fatal=False, refused=True
                )


def identified(
    path: str | Path, kind: str | None, id_column: str | None, keys: Sequence[str] = ()
) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Read a table, add galaxy ids; return table, catalog kind (such as kaggle), file's columns."""
    frame = read_table(path, id_column=id_column, keys=keys, texts=("label",))
    return with_ids(quantities.understood(frame), path, kind, id_column, keys)


def with_ids(
    frame: pd.DataFrame,
    where: object,
    kind: str | None,
    id_column: str | None,
    keys: Sequence[str] = (),
) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Return three values: table with column `galaxy_id`, kind (such as kaggle), earlier columns.

    Missing ids stay missing. If the table has no usual id column and the caller names none, the
    first of the key columns `keys` names its galaxies.
    """
    columns = tuple(frame.columns)
    if id_column is not None and id_column not in frame:
        raise InputError(
            "id column is missing",
            where=where,
            rule=f"have {id_column}",
            found=", ".join(columns[:12]),
        )
    # a table that is only joined to a catalog may lack an id column; its key column then names the
    # rows
    if (
        id_column is None
        and frame.columns.isin(keys).any()
        and not frame.columns.isin(ID_COLUMNS).any()
    ):
        id_column = next(key for key in keys if key in frame)
    kind, column = recognise(columns, kind, where=where, id_column=id_column)
    told: list[str] = []
    if id_column is None:
        column, told = _written_ids(frame, column)
    values = frame[column].to_numpy()
    missing = frame[column].isna().to_numpy()
    ids = np.full(len(frame), np.nan, dtype=object)
    ids[~missing] = as_ids(
        values[~missing], where=f"{where}, column {column}", rows=np.flatnonzero(~missing)
    )
    rest = frame.drop(columns="galaxy_id", errors="ignore")
    named = pd.concat(
        [pd.Series(ids, index=frame.index, dtype="str", name="galaxy_id"), rest], axis=1
    )
    notes = [*frame.attrs.get("notes", []), *told]
    named.attrs = {**frame.attrs, "notes": notes, "id_column": column}
    return named, kind, columns


def _written_ids(frame: pd.DataFrame, column: str) -> tuple[str, list[str]]:
    """Return the id column of a table, and a note if its `galaxy_id` holds other ids than `column`.

    A table that gzfeatures wrote keeps its ids in `galaxy_id`, also if a user chose them. A joined
    `asset_id` names the image files of the galaxies, so it stays the id column.
    """
    if column == "galaxy_id" or "galaxy_id" not in frame:
        return column, []
    kept = frame["galaxy_id"]
    if kept.isna().all() or kept.astype("str").equals(frame[column].astype("str")):
        return column, []
    exact = kept.dtype.kind != "f" and kept.notna().all() and kept.is_unique
    name, other = ("galaxy_id", column) if exact and column != "asset_id" else (column, "galaxy_id")
    return name, [f"galaxies are named by {name}; {other} holds other ids (choose it with --id)"]
