"""Convert text cells to integers, floats, booleans or text, without losing a digit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from gzfeatures.id_text import MISSING_WORDS, trimmed

if TYPE_CHECKING:
    import pandas as pd

_WHOLE = r"^[+-]?(0|[1-9][0-9]*)$"
_DIGITS = r"^[+-]?[0-9]+$"
_FLAGS = ("True", "TRUE", "true", "False", "FALSE", "false")
_EXACT = 2.0**53


def typed(
    cells: pa.ChunkedArray, bare: Callable[[Any], Any] = lambda texts: texts
) -> pa.ChunkedArray:
    """Convert a column of text cells to the narrowest type that represents every cell exactly.

    Parameters
    ----------
    cells : ChunkedArray of strings
        Cells as they are written; an empty cell is null.
    bare : callable
        Column of texts → column without the apostrophes that protect a spreadsheet from formulas;
        not called for plain numbers.

    Returns
    -------
    ChunkedArray
        int64, uint64, double, bool or string; null if all cells are empty. A word of MISSING_WORDS
        is null if all other cells are numbers or flags, and a text in a column of texts. Digits
        with a leading zero are a code, and a whole number beyond 2^53 in a column with decimal
        numbers is a name: such columns stay text, without the blanks around each cell.
    """
    if cells.null_count == len(cells):
        return pa.chunked_array([pa.nulls(len(cells))])
    first = (
        next(chunk for chunk in cells.chunks if chunk.null_count < len(chunk))
        .drop_null()[0]
        .as_py()
    )
    # guess the type from the first cell, so that a column of numbers is converted only once
    if first[:1].isdigit() or first[:1] in "-.":
        quick = _quick_whole(cells) if first.lstrip("-").isdecimal() else _quick_floats(cells)
        if quick is not None:
            return quick
    return _with_words(bare(cells))


def _quick_whole(cells: pa.ChunkedArray) -> pa.ChunkedArray | None:
    try:
        numbers = cells.cast(pa.int64())
    except pa.ArrowInvalid:
        return _quick_floats(cells)
    # keep cells such as 0x1F and 007 as text: Arrow would read them as the numbers 31 and 7, and
    # the written form would be lost
    return numbers if pc.all(pc.equal(numbers.cast(cells.type), cells)).as_py() else None


def _quick_floats(cells: pa.ChunkedArray) -> pa.ChunkedArray | None:
    try:
        numbers = cells.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    ends = pc.min_max(numbers)
    if max(abs(ends["min"].as_py() or 0), abs(ends["max"].as_py() or 0)) >= _EXACT:
        return None  # float64 may not represent all digits of so large whole numbers
    return None if _are_whole(cells) else numbers


def _are_whole(cells: pa.ChunkedArray) -> bool:
    sample = cells.slice(0, 64)
    return bool(pc.all(pc.match_substring_regex(sample, _DIGITS)).as_py()) and bool(
        pc.all(pc.match_substring_regex(cells, _DIGITS)).as_py()
    )


def _with_words(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    texts = trimmed(cells)
    words = pc.is_in(texts, value_set=pa.array(MISSING_WORDS, texts.type))
    values = pc.if_else(words, pa.scalar(None, texts.type), texts)
    texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, texts.type), texts)
    if values.null_count == len(values):
        if pc.all(pc.equal(pc.utf8_lower(texts), "nan")).as_py():
            return pa.chunked_array([pa.nulls(len(texts), pa.float64())])
        return texts  # NA means a missing value only beside numbers or flags, else it is a word
    if pc.all(pc.match_substring_regex(values, _DIGITS)).as_py():
        if not pc.all(pc.match_substring_regex(values, _WHOLE)).as_py():
            return texts
        return _integers(pc.replace_substring_regex(values, r"^\+", ""))
    numbers = _floats(values)
    if numbers is not None:
        return numbers
    flags = _flags(values)
    return texts if flags is None else flags


def _integers(values: Any) -> pa.ChunkedArray:
    for kind in (pa.int64(), pa.uint64()):
        try:
            return values.cast(kind)
        except pa.ArrowInvalid:
            continue
    return values


def _floats(values: Any) -> pa.ChunkedArray | None:
    try:
        numbers = values.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    large = pc.greater_equal(pc.abs(numbers), _EXACT)
    if (
        pc.any(large).as_py()
        and pc.any(pc.match_substring_regex(values.filter(large), _DIGITS)).as_py()
    ):
        return values
    return numbers


def _flags(values: Any) -> pa.ChunkedArray | None:
    if not pc.all(pc.is_in(values.drop_null(), value_set=pa.array(_FLAGS, values.type))).as_py():
        return None
    return pc.equal(pc.utf8_lower(values), "true")


def texts_of(column: pd.Series) -> pd.Series:
    """Return a column of a data frame as text, in which a missing value is an empty text.

    pandas before 3 writes a missing value of a column of objects as "nan" or "None".

    Examples
    --------
    >>> import pandas as pd
    >>> texts_of(pd.Series(["a", None, float("nan"), 3], dtype=object)).tolist()
    ['a', '', '', '3']
    """
    return column.astype(object).where(column.notna(), "").astype("str")
