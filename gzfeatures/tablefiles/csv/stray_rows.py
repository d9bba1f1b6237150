"""Find rows of a CSV file that are no galaxies: types, units, footers, a second header."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from gzfeatures.errors import InputError
from gzfeatures.id_text import MISSING_WORDS

FOOTER = re.compile(
    r"\(?\s*\d+ (rows?|records?|objects?|galaxies|sources|entries|lines?)\b.*"
    r"|completion time:.*|#.*",
    re.IGNORECASE,
)
"""Pattern of the last line that databases write below a table: `(40 rows affected)`, …"""

_TYPE = re.compile(
    r"(u?(tiny|small|medium|big)?int(eger)?\d*|u?long|u?short|u?byte|bit|float\d*"
    r"|double( precision)?|real|single"
    r"|numeric|decimal|number|n?(var)?char|string|str|text|object|bool(ean)?"
    r"|logical|date|time|datetime2?|timestamp"
    r"|[<>|=]?[iufSUb]\d+)(\s*\([\d,\s]+\))?",
    re.IGNORECASE,
)
_UNIT = re.compile(
    r"[\[(]?("
    r"deg(ree)?s?|rad|hours?|hourangle|h|hms|dms|h:m:s|d:m:s|(ab)?mags?(nitude)?|mag\(ab\)|dex"
    r"|arcsec(ond)?s?|arcmin(ute)?s?|mas|mas/yr|km/s|km\.s-1|km s-1|[kmg]?pc|[mun]?jy|nmgy"
    r"|(nano)?magg(y|ies)"
    r"|erg/s|erg/s/cm2|erg/cm2/s|w/hz|solmass|[ml]sun|m_sun|log\(msun\)|pix(el)?s?|counts?|ct|adu"
    r"|[mg]?yr|d|s|k|hz|um|nm|angstroms?|a|none|unitless|dimensionless|n/a|1|%"
    r")[\])]?",
    re.IGNORECASE,
)
_RULER = re.compile(r"[-=]+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LOOKED_AT = 100
"""Number of rows from which it is judged whether a column contains numbers."""
_MOST = 3
"""Largest number of rows after the header, and at the end, that are searched for non-galaxies."""


def galaxies(
    names: Sequence[str], columns: Sequence[Any], path: Path, line_of: Callable[[int], int]
) -> tuple[range | None, list[str]]:
    """Return which rows of a CSV table are galaxies, and messages about the rows left out.

    Parameters
    ----------
    names, columns : sequences
        Column names, and columns whose cells are text; an empty cell is null.
    path, line_of : Path, callable
        The file, and a function: number of a row, counted from 0 → number of its line in the file.

    Returns
    -------
    rows : range or None
        Rows that are galaxies; None if all are.
    notes : list of str
        One message for each row left out.

    Raises
    ------
    InputError
        A row at the beginning or the end is neither a galaxy nor types, units, a ruler or a
        footer; or the header is repeated among the rows.
    """
    count = len(columns[0]) if columns else 0
    if not count:
        return None, []
    _require_one_header(names, columns, path, line_of)
    numeric = _numeric_columns(columns, count)
    start, stop, notes = 0, count, []
    while start < min(_MOST, stop):
        cells = _row(columns, start)
        what = _below_header(cells, numeric, len(names))
        if what is None:
            _require_galaxy(cells, numeric, path, line_of(start))
            break
        notes.append(f"line {line_of(start)} holds {what} and is left out: {_listed(cells)}")
        start += 1
    while stop > max(start, count - _MOST):
        cells = _row(columns, stop - 1)
        words = [cell for cell in cells if cell]
        if len(words) != 1 or not FOOTER.fullmatch(words[0]):
            lone = (
                words == [cells[0]]
                and 0 in numeric
                and len(names) > 1
                and _is_word(cells[0])
                and stop - start > _MOST
            )
            if stop - start > 1:
                _require_galaxy(cells, numeric, path, line_of(stop - 1), lone=lone)
            break
        notes.append(f"line {line_of(stop - 1)} is no galaxy and is left out: {words[0]}")
        stop -= 1
    return (range(start, stop) if notes else None), notes


def _row(columns: Sequence[Any], row: int) -> list[str]:
    return [(column[row].as_py() or "").strip() for column in columns]


def _listed(cells: Sequence[str]) -> str:
    return ",".join(cells[:8]) + (",…" if len(cells) > 8 else "")


def _is_word(cell: str) -> bool:
    return cell not in MISSING_WORDS and not _NUMBER.fullmatch(cell)


def _numeric_columns(columns: Sequence[Any], count: int) -> set[int]:
    """Return which CSV columns contain numbers, judged without the first and last rows."""
    start = _MOST if count > _MOST + 1 else 1
    numeric = set()
    for i, column in enumerate(columns):
        cells = (
            column.slice(start, min(_LOOKED_AT, max(1, count - start - _MOST)))
            .drop_null()
            .to_pylist()
        )
        cells = [cell.strip() for cell in cells]
        if any(_NUMBER.fullmatch(cell) for cell in cells) and not any(map(_is_word, cells)):
            numeric.add(i)
    return numeric


def _below_header(cells: Sequence[str], numeric: set[int], width: int) -> str | None:
    """Return "types", "units" or "a ruler" (-----) if a row below a CSV header is that, or None."""
    words = [cell for cell in cells if cell]
    if not words or width < 2 or any(_NUMBER.fullmatch(word) for word in words if word != "1"):
        return None
    among_numbers = any(cells[i] and _is_word(cells[i]) for i in numeric)
    if all(map(_TYPE.fullmatch, words)) and (among_numbers if numeric else len(words) == width):
        return "types"
    if among_numbers and all(_UNIT.fullmatch(word) or _RULER.fullmatch(word) for word in words):
        return "a ruler" if all(map(_RULER.fullmatch, words)) else "units"
    return None


def _require_galaxy(
    cells: Sequence[str], numeric: set[int], path: Path, line: int, *, lone: bool = False
) -> None:
    """Refuse a CSV row with words instead of numbers, if two or more columns hold numbers."""
    words = all(_is_word(cells[i]) for i in numeric) and not any(map(_NUMBER.fullmatch, cells))
    if lone or (len(numeric) > 1 and words):
        raise InputError(
            "row is no galaxy",
            where=f"{path}, line {line}",
            rule="hold numbers where the other rows hold numbers",
            found=_listed(cells),
            remedy="delete the line",
        )


def _require_one_header(
    names: Sequence[str], columns: Sequence[Any], path: Path, line_of: Callable[[int], int]
) -> None:
    again = pc.index(columns[0], names[0]).as_py()
    if again >= 0 and len(names) > 1 and _row(columns, again) == list(names):
        raise InputError(
            "header is repeated",
            where=f"{path}, line {line_of(again)}",
            found=_listed(names),
            remedy="delete the line",
        )
