"""Join two catalogs by a key, and count the galaxies that matched and those that did not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.quantities import understood
from gzfeatures.ids import as_keys
from gzfeatures.tablefiles.tables import id_column_of, plain, read_table

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog import Catalog
    from gzfeatures.galaxies.catalogs.sky_join import SkyReport


@dataclasses.dataclass(frozen=True)
class JoinKind:
    """Choose which galaxies a join of two catalogs keeps, and how it renames columns of equal name.

    Parameters
    ----------
    keep_all : bool
        Keep the galaxies without a partner too, with empty cells.
    suffix : str
        Text added to the name of a column of the second table if the first table has a column of
        that name too; by default such a column is left out.
    """

    keep_all: bool = False
    suffix: str = ""


MATCHED = JoinKind()
"""Keep matched galaxies only; of columns with the same name keep the first table's."""


@dataclasses.dataclass(frozen=True)
class JoinReport:
    """Count a join's matched galaxies, unmatched galaxies, and galaxies whose key was repeated.

    Parameters
    ----------
    matched : int
        Galaxies that matched a row of the second table.
    unmatched : tuple of str
        Ids of galaxies that matched no row.
    unused : int
        Rows of the second table that matched no galaxy.
    doubled : tuple of str
        Ids of galaxies left out because the second table has their key more than once.
    keyless : int
        Galaxies of `unmatched` that have no key: a missing key equals no other key.
    shadowed : tuple of str
        Columns of the second table, except keys, that are left out because the first table has a
        column of the same name.
    forgone : dict of str to int
        Column of `shadowed` → number of matched galaxies whose cell is empty in the first table and
        filled in the second.
    """

    matched: int
    unmatched: tuple[str, ...]
    unused: int
    doubled: tuple[str, ...]
    keyless: int = 0
    shadowed: tuple[str, ...] = ()
    forgone: dict[str, int] = dataclasses.field(default_factory=dict)


def shadows(report: JoinReport | SkyReport) -> str:
    """Return a sentence on columns in both catalogs, and on values that the join does not copy."""
    return listed_names(
        f"{name} (empty here and known there for {report.forgone[name]} galaxies)"
        if name in report.forgone
        else name
        for name in report.shadowed
    )


def listed_names(columns: Iterable[str]) -> str:
    """Return a sentence that lists columns of the second table that a join leaves out."""
    return f"columns that stand in both tables stay those of the first: {', '.join(columns)}"


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Store a table to join by a key column; its keys may be missing or repeated.

    Parameters
    ----------
    frame : DataFrame
        Plain columns (see `tables`), in our units.
    source : str
        Where the table comes from, such as the path of a file; named in errors.
    """

    frame: pd.DataFrame
    source: str = "memory"

    @classmethod
    def read(cls, path: str | Path, keys: Sequence[str]) -> Rows:
        """Read a table, and its key columns as exact ids, so that long numbers lose no digit."""
        frame = read_table(path, keys=keys)
        # a user may name the key `galaxy_id`, although the id column of a published table has a
        # different name: copy that column to `galaxy_id`
        if "galaxy_id" in keys and "galaxy_id" not in frame:
            column = id_column_of(list(frame.columns))
            frame = frame if column is None else frame.assign(galaxy_id=frame[column])
        return cls(understood(frame), str(path))


def joined(
    catalog: Catalog,
    other: Catalog | Rows,
    left_on: str | Sequence[str],
    right_on: str | Sequence[str],
    kind: JoinKind = MATCHED,
) -> tuple[pd.DataFrame, JoinReport]:
    """Return the galaxies that match a row of another table, with that table's columns added.

    See `Catalog.join`.
    """
    left, right = _keys(catalog, left_on), _keys(other, right_on)
    # leave out galaxies without a key, because they must not match rows without a key
    asked = pd.Index(left)
    keyed = ~pd.isna(left)
    index = pd.Index(right[~pd.isna(right)])
    places = np.flatnonzero(~pd.isna(right))
    # if two rows have the same key, we cannot know which one belongs to the galaxy, so use neither
    twice = index.duplicated(keep=False)
    single = np.flatnonzero(~twice)
    rows = np.full(len(left), -1, dtype=np.intp)
    rows[keyed] = index[single].get_indexer(asked[keyed])
    doubled = keyed & asked.isin(index[twice])
    matched = rows >= 0
    report = JoinReport(
        matched=int(matched.sum()),
        unmatched=tuple(catalog.ids[~matched & ~doubled]),
        unused=len(right) - int(index.isin(asked[keyed]).sum()),
        doubled=tuple(catalog.ids[doubled]),
        keyless=int((~keyed).sum()),
    )
    if not report.matched:
        left, right = left[keyed], right[~pd.isna(right)]
        raise InputError(
            "no rows match",
            where=f"join of {catalog.source} and {other.source} on {left_on} = {right_on}",
            found=f"{left[0]} here, {right[0]} there" if len(left) and len(right) else None,
            remedy="name the columns that hold the same ids",
        )
    # a key column with the same name in both tables has equal values in matched rows, so keep one
    # copy
    columns = zip(_names(left_on), _names(right_on), strict=False)
    keys = {left_name for left_name, right_name in columns if left_name == right_name}
    # if galaxies were matched by their id column, the second table's `galaxy_id` contains the same
    # ids, so leave it out
    if (left_on, right_on) == (catalog.frame.attrs.get("id_column"), "galaxy_id"):
        keys.add("galaxy_id")
    partners = np.full(len(left), -1, dtype=np.intp)
    partners[matched] = places[single[rows[matched]]]
    frame, lost = with_partners(catalog, other, partners, kind, keys)
    return frame, dataclasses.replace(
        report,
        shadowed=tuple(lost),
        forgone={name: count for name, count in lost.items() if count},
    )


def with_partners(
    catalog: Catalog,
    other: Catalog | Rows,
    partners: npt.NDArray[np.intp],
    kind: JoinKind = MATCHED,
    keys: set[str] | frozenset[str] = frozenset(),
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return galaxies of a catalog with the columns of their matched rows in a second table.

    Parameters
    ----------
    catalog, other
        The first and the second table.
    partners : ndarray of int
        Row of `other` for each galaxy, shape (n,); -1 where it has none.
    kind : JoinKind
        Which galaxies are kept, and how columns of one name are told apart.
    keys : set of str
        Columns with equal values in both tables.

    Returns
    -------
    DataFrame, dict of str to int
        The joined table; and the columns of the second table that are left out because the first
        has a column of the same name, with the number of rows whose cell is empty in the first
        table and filled in the second. `attrs` of the table has the units and notes on the columns
        of both.

    Raises
    ------
    InputError
        A column's name with the suffix is already the name of another column.
    """
    rows = np.arange(len(partners)) if kind.keep_all else np.flatnonzero(partners >= 0)
    chosen = _rows_or_gaps(other.frame, partners[rows])
    galaxies = catalog.frame.iloc[rows].reset_index(drop=True)
    # the second catalog's `galaxy_id` is a copy of its id column, so leaving out `galaxy_id` loses
    # no values
    same = keys if isinstance(other, Rows) else keys | {"galaxy_id"}
    both = [str(name) for name in chosen if name in galaxies and name not in same]
    lost: dict[str, int] = {}
    renamed: dict[str, str] = {}
    if kind.suffix:
        renamed = {name: f"{name}{kind.suffix}" for name in both}
        _require_free(renamed, {*galaxies, *chosen}, other.source)
    else:
        # count cells that only the second table has filled, to warn the user: the join does not
        # copy them into the first table's empty cells
        lost = {name: int((galaxies[name].isna() & chosen[name].notna()).sum()) for name in both}
    added = chosen.rename(columns=renamed)
    added = added.drop(columns=[name for name in added if name in galaxies])
    joined = pd.concat([galaxies, added], axis=1)
    joined.attrs = dict(catalog.frame.attrs)
    for what in ("units", "ucds", "integers"):
        theirs = chosen.attrs.get(what, {}).items()
        of_added = {renamed.get(name, name): text for name, text in theirs}
        of_added = {name: text for name, text in of_added.items() if name in added}
        joined.attrs[what] = {**of_added, **catalog.frame.attrs.get(what, {})}
    return joined, lost


def _rows_or_gaps(frame: pd.DataFrame, rows: npt.NDArray[np.intp]) -> pd.DataFrame:
    """Return table rows by number, with exact integers; number -1 gives a row of missing values."""
    if (rows >= 0).all():
        return frame.iloc[rows].reset_index(drop=True)
    # use pandas' integers with missing values, because ordinary integers with gaps would become
    # floats and lose digits
    nullable = {"int64": "Int64", "uint64": "UInt64", "bool": "boolean"}
    kinds = {name: nullable.get(str(kind), kind) for name, kind in frame.dtypes.items()}
    chosen = frame.astype(kinds).reset_index(drop=True)
    chosen = chosen.reindex(np.where(rows < 0, len(frame), rows)).reset_index(drop=True)
    gapped = plain(chosen)
    text = {**frame.attrs.get("integers", {}), **gapped.attrs["integers"]}
    gapped.attrs = {**frame.attrs, "integers": text}
    return gapped


def _require_free(renamed: dict[str, str], names: set[str], where: object) -> None:
    """Refuse a suffix that turns a column's name into the name of another column."""
    taken = next((new for new in renamed.values() if new in names), None)
    if taken is not None:
        raise InputError(
            "suffix of columns that stand in both tables",
            where=where,
            rule="make names that stand in neither",
            found=taken,
            remedy="choose another suffix",
        )


def _names(columns: str | Sequence[str]) -> list[str]:
    """Return the names of key columns as a list, also if the caller gave a single name."""
    return [columns] if isinstance(columns, str) else list(columns)


def _keys(catalog: Catalog | Rows, columns: str | Sequence[str]) -> npt.NDArray[np.object_]:
    """Return the join key of each row of a table, shape (n,); NaN if a key column is empty."""
    names = _names(columns)
    for name in names:
        if name not in catalog.frame:
            raise InputError(
                "key column is missing",
                where=catalog.source,
                rule=f"have {name}",
                found=", ".join(catalog.frame.columns[:12]),
            )
    parts = [
        as_keys(catalog.frame[name], where=f"{catalog.source}, column {name}") for name in names
    ]
    keys = parts[0].copy()
    # join the columns of a key with a zero byte, which no id contains, so that the keys (1, 23) and
    # (12, 3) stay different
    for part in parts[1:]:
        whole = ~pd.isna(keys) & ~pd.isna(part)
        keys[whole] = keys[whole] + "\0" + part[whole]
        keys[~whole] = np.nan
    return keys
