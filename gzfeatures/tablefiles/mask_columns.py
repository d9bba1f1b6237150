"""Apply the mask columns by which astropy marks missing values of other columns in a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MASK = ".mask"
"""Ending of a mask column's name: astropy stores the mask of column `z` as column `z.mask`."""


def applied(names: Sequence[str], columns: list[Any]) -> tuple[list[int], list[str]]:
    """Replace masked values by missing values: column `z.mask` masks values of column `z`.

    Parameters
    ----------
    names : sequence of str
        Column names.
    columns : list of Arrow arrays
        None of them dictionary-encoded; the list changes: a column with a mask is replaced.

    Returns
    -------
    masks : list of int
        Positions of the mask columns in `columns`; the caller removes them from the table.
    notes : list of str
        For each mask column, how many values are missing by it; or that a column is called a mask
        but contains other values than 0 and 1.
    """
    masks: list[int] = []
    notes: list[str] = []
    for place, name in enumerate(names):
        if not name.endswith(MASK) or name.removesuffix(MASK) not in names:
            continue
        of = names.index(name.removesuffix(MASK))
        flags = _flags(columns[place])
        if flags is None:
            notes.append(
                f"{name} is no mask of {names[of]}, for it holds more than 0 and 1: "
                "it hides nothing"
            )
            continue
        hidden = pc.fill_null(flags, True)
        column = columns[of]
        if pa.types.is_string_view(column.type):
            column = column.cast(pa.large_string())  # Arrow has no if_else for string views
        columns[of] = pc.if_else(hidden, pa.scalar(None, column.type), column)
        count = pc.sum(hidden).as_py() or 0
        notes.append(f"{name} is the mask of {names[of]}: {count} values are missing")
        masks.append(place)
    return masks, notes


def _flags(column: Any) -> Any:
    """Return a mask column as booleans; None if the column contains values other than 0 and 1."""
    kind = column.type
    if pa.types.is_boolean(kind):
        return column
    if not (
        pa.types.is_integer(kind) or kind in (pa.float32(), pa.float64())
    ) or column.null_count == len(column):
        return None
    both = pc.is_in(column.drop_null(), value_set=pa.array([0, 1]).cast(kind))
    return pc.equal(column, pa.scalar(1).cast(kind)) if pc.all(both).as_py() else None
