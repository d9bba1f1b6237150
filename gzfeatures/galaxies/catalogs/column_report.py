"""Summarise the catalog columns that gzfeatures uses: names, types, units, gaps and values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from gzfeatures.galaxies.catalogs.kinds import CLASS_STRINGS, READY_CLASSES
from gzfeatures.galaxies.catalogs.quantities import QUANTITIES, column_of
from gzfeatures.galaxies.votes.vote_columns import RAW, sources

_TYPES = {"i": "integer", "u": "integer", "f": "number", "b": "flag"}


@dataclasses.dataclass(frozen=True)
class Used:
    """Store facts about one catalog column: names, type, unit, gaps, range and first values.

    Parameters
    ----------
    column : str
        Name of the column in the file.
    name : str
        Name of the column in gzfeatures.
    type : str
        Type of its values: integer, number, flag or text.
    unit : str
        Unit of its numbers; "" without a unit.
    missing : int
        Galaxies without a value.
    least, largest : int, float, str or None
        Range of the values that are not missing; None if all are missing.
    values : tuple
        The first three values that are not missing.
    """

    column: str
    name: str
    type: str
    unit: str
    missing: int
    least: Any
    largest: Any
    values: tuple[Any, ...]

    def __str__(self) -> str:
        """Return the column's names, type, unit, gaps and first values as one line of text."""
        kind = f"{self.type} in {self.unit}" if self.unit else self.type
        span = "" if self.least is None else f", {_short(self.least)} to {_short(self.largest)}"
        values = ", ".join(map(_short, self.values)) or "no value"
        return f"{self.column} → {self.name}: {kind}, {self.missing} missing{span}; {values}"


def used(frame: pd.DataFrame, id_column: str) -> list[Used]:
    """Return facts about each catalog column that gzfeatures uses: ids first, votes last.

    Parameters
    ----------
    frame : DataFrame
        Table of a Catalog.
    id_column : str
        Name of the id column in the file.
    """
    units = frame.attrs.get("units", {})
    rows = [_row(frame["galaxy_id"], id_column, "galaxy_id", "")]
    for name, quantity in QUANTITIES.items():
        column = column_of(frame, name).column
        if column is not None:
            rows.append(_row(frame[column], column, name, units.get(column) or quantity.unit))
    for column, name in _others(frame):
        rows.append(_row(frame[column], column, name, units.get(column, "")))
    return rows


def _others(frame: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Yield column and shown name of GZ2 class strings (such as Sb2m), labels, groups and votes.

    The report shows class strings as `gz2_class`, and votes as answer, kind and campaign; all other
    columns keep their own name.
    """
    string = next((column for column in CLASS_STRINGS if column in frame), None)
    if string is not None:
        yield string, "gz2_class"
    for column in (*READY_CLASSES, "label", "split", "group"):
        if column in frame:
            yield column, column
    every = list(sources(frame.columns))
    # a catalog may contain the same votes raw, weighted and debiased: list first those from which
    # gzfeatures makes classes, so that a user sees them
    order = [*RAW, "weight"]
    for source in sorted(every, key=lambda source: order.index(source.measure)):
        for answer, columns in source.columns.items():
            for column in columns:
                yield column, f"{answer} ({source} of {source.campaign})"


def _row(values: pd.Series, column: str, name: str, unit: str) -> Used:
    """Return type, gaps, range and values of one catalog column; empty texts count as missing."""
    kind = _TYPES.get(values.dtype.kind, "text")
    filled = values.notna().to_numpy(bool)
    present = values[filled & (values != "").to_numpy(bool) if kind == "text" else filled]
    ends: tuple[Any, Any] = (None, None)
    if len(present):
        ends = (_plain(present.min()), _plain(present.max()))
    first = tuple(_plain(value) for value in present.iloc[:3])
    return Used(column, name, kind, unit, len(values) - len(present), *ends, first)


def _short(value: Any) -> str:
    """Return a table cell's value as text of at most 40 characters."""
    if isinstance(value, float):
        return f"{value:.7g}"
    # escape control characters, because those in a catalog cell could change the terminal of the
    # user
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(value)
    )
    return text if len(text) <= 40 else text[:39] + "…"


def _plain(value: Any) -> Any:
    """Convert a value to a type that JSON has; an infinite number or NaN becomes text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int) or (isinstance(value, float) and np.isfinite(value)):
        return value
    return str(value)
