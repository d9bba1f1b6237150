"""Read truth values and class sets of galaxies from the cells of predictions files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError

_FLAGS = {
    **dict.fromkeys(("true", "t", "1", "1.0"), True),
    **dict.fromkeys(("false", "f", "0", "0.0"), False),
}


def flags_of(frame: pd.DataFrame, name: str, path: Path) -> npt.NDArray[np.bool_]:
    """Return a column of true and false as booleans, shape (n,); refuse any other cell.

    Parameters
    ----------
    frame : DataFrame
        Columns of the file, with `galaxy_id` among them.
    name : str
        Name of the column, which holds booleans, the numbers 0 and 1, or the words true and false.
    path : Path
        Path of the file, used only in error messages.

    Raises
    ------
    InputError
        A cell is empty or has another value. An empty cell must not count as false: a galaxy that
        was trained on would be scored.

    Examples
    --------
    >>> frame = pd.DataFrame({"galaxy_id": ["a", "b"], "trained_on": ["True", "False"]})
    >>> flags_of(frame, "trained_on", Path("p.csv")).tolist()
    [True, False]
    """
    cells = frame[name]
    if cells.dtype == np.bool_:
        return cells.to_numpy(bool)
    flags = [_FLAGS.get(str(cell).strip().lower()) for cell in cells]
    if None in flags:
        row = flags.index(None)
        raise InputError(
            name,
            where=_place(frame, row, path),
            rule="be true or false in every row",
            found=_shown(cells.iloc[row]),
        )
    return np.array(flags, dtype=bool)


def sets_of(frame: pd.DataFrame, classes: tuple[str, ...], path: Path) -> npt.NDArray[np.bool_]:
    """Return which classes are in each galaxy's class set, shape (n, k).

    Parameters
    ----------
    frame : DataFrame
        Columns of the file: `galaxy_id`, `class_set` (names joined by `|`), and `empty_because`,
        which gives the reason of each empty set.
    classes : tuple of str
        Names of the k classes.
    path : Path
        Path of the file, used only in error messages.

    Raises
    ------
    InputError
        A cell without names has no reason, so that the class set is unknown; or a name is not that
        of a class.
    """
    places = {name: place for place, name in enumerate(classes)}
    sets = np.zeros((len(frame), len(classes)), dtype=bool)
    reasons = frame["empty_because"] if "empty_because" in frame else [""] * len(frame)
    for row, (cell, reason) in enumerate(zip(frame["class_set"], reasons, strict=True)):
        if _is_blank(cell):
            if _is_blank(reason):
                raise InputError(
                    "class set is absent",
                    where=_place(frame, row, path),
                    rule="name classes, or be empty for a reason in the column empty_because",
                )
            continue
        for name in str(cell).split("|"):
            if name not in places:
                raise InputError(
                    "class set names an unknown class",
                    where=_place(frame, row, path),
                    rule=f"be among {', '.join(classes)}",
                    found=name,
                )
            sets[row, places[name]] = True
    return sets


def _is_blank(cell: Any) -> bool:
    """Return whether a cell is an empty text or missing."""
    if isinstance(cell, str):
        return not cell
    return np.ndim(cell) == 0 and bool(pd.isna(cell))


def _shown(cell: Any) -> str:
    """Return a cell's value for an error message."""
    return "an empty cell" if _is_blank(cell) else str(cell)


def _place(frame: pd.DataFrame, row: int, path: Path) -> str:
    """Return where a row is: file, number of the row from 1, and id of the galaxy."""
    return f"{path}, row {row + 1} (galaxy {frame['galaxy_id'].iloc[row]})"
