"""Read CSV tables; refuse rows that do not describe a galaxy or do not fit the header.

Arrow splits the file into cells. If Arrow cannot (a row has another length than the header, or a
blank stands between comma and quote), Python reads the file again line by line; an error then names
the faulty line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pacsv

from gzfeatures.errors import InputError
from gzfeatures.tablefiles.cells import typed
from gzfeatures.tablefiles.csv import stray_rows
from gzfeatures.tablefiles.csv.header import Header, header_of, opened
from gzfeatures.tablefiles.csv.records import read_lines
from gzfeatures.tablefiles.raw_table import RawTable

_QUOTE_AFTER_BLANK = r'^[ \t]*"'


def read_csv(path: Path, id_columns: Collection[str], unguard: Any) -> RawTable:
    """Read a table from a CSV file, plain or compressed by gzip.

    Cells are separated by commas; if the header has none, by tabs, semicolons or vertical bars.

    Lines before the header that begin with `#`, such as SkyServer's `#Table1`, are left out; if the
    last of them lists the column names, it is the header. A further comma at the end of every row
    makes no column. A row of types or of units below the header, a line such as `(40 rows
    affected)` at the end, and every line below the header that begins with `#` are left out, and
    a note says so.

    Parameters
    ----------
    path : Path
        Text in UTF-8.
    id_columns : collection of str
        Columns whose cells stay text.
    unguard : callable
        Text of a cell or column name → the text without the apostrophe that `tables.guarded` put
        before it, lest a spreadsheet run it as a formula.

    Raises
    ------
    InputError
        A row has another length than the header or is no galaxy, or the header is repeated.
    """
    header = header_of(path)
    try:
        return _table(path, header, id_columns, unguard, by_line=False)
    except _NotPlain:
        return _table(path, header, id_columns, unguard, by_line=True)


class _NotPlain(Exception):
    """Raised if Arrow may have split a CSV file into wrong rows; it is then read line by line."""


def _table(
    path: Path, header: Header, id_columns: Collection[str], unguard: Any, *, by_line: bool
) -> RawTable:
    names = [*header.names, *([""] if header.spare else [])]
    ends: list[str] = []
    line_of: Callable[[int], int] = lambda row: header.line + row + 1  # noqa: E731
    if by_line:
        columns, lines, ends = read_lines(path, header, len(names))
        line_of = lines.__getitem__
    else:
        columns = _cells(path, header, names)
        if _any(columns[0], "^ *#"):
            # Arrow has removed the quotes, so a first cell that begins with # may be a comment or a
            # quoted text: the file must be read line by line
            raise _NotPlain
    if not by_line and any("\n" in (column[-1].as_py() or "") for column in columns if len(column)):
        raise _NotPlain  # perhaps an unclosed quote made the rest of the file one cell
    if header.spare:
        _require_empty(columns.pop(), path, header, line_of)
        names.pop()
    names, columns = _without_nameless([unguard(name) for name in names], columns)
    rows, words = stray_rows.galaxies(names, columns, path, line_of)
    if rows is not None:
        columns = [column.slice(rows.start, rows.stop - rows.start) for column in columns]

    def values(place: int) -> Any:
        column, columns[place] = columns[place], None  # free the text cells early to save memory
        bare = partial(_unguarded, unguard=unguard)
        result = bare(column) if names[place] in id_columns else typed(column, bare)
        if _is_text(result):
            if not by_line and _any(result, _QUOTE_AFTER_BLANK):
                raise _NotPlain
            _require_own_rows(result, names, place, path, header)
        return result

    with ThreadPoolExecutor(2) as pool:
        raw = list(pool.map(values, range(len(names))))
    return RawTable(names, raw, [*header.notes, *ends, *words])


def _require_own_rows(
    column: Any, names: Sequence[str], place: int, path: Path, header: Header
) -> None:
    """Refuse a quoted CSV cell that swallowed whole rows of the table, because a quote is lost."""
    if not pc.any(pc.match_substring(column, "\n")).as_py():
        return
    for row, cell in enumerate(column.to_pylist()):
        for line in (cell or "").splitlines()[1:]:
            first, *rest = line.split(header.separator)
            if len(rest) == len(names) - 1 and rest and first.strip() and " " not in first.strip():
                raise InputError(
                    "quoted cell holds a row of the table",
                    where=f"{path}, row {row}, column {names[place]}",
                    found=cell,
                    remedy="close the quote where the cell ends",
                )


def _is_text(column: Any) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _any(column: Any, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(column, pattern)).as_py())


def _cells(path: Path, header: Header, names: list[str]) -> list[Any]:
    """Read every cell of a CSV file as text; an empty cell becomes null."""
    columns = [str(number) for number in range(len(names))]
    with opened(path) as stream:
        stream.read(header.offset)
        try:
            table = pacsv.read_csv(
                stream,
                read_options=pacsv.ReadOptions(column_names=columns, block_size=2**22),
                parse_options=pacsv.ParseOptions(
                    delimiter=header.separator, newlines_in_values=True
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(columns, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            if "CSV parse error" in str(error):
                raise _NotPlain from None
            if "Empty CSV file" not in str(error):
                raise
            return [pa.chunked_array([pa.array([], pa.string())]) for _ in columns]
    return list(table.columns)


def _require_empty(column: Any, path: Path, header: Header, line_of: Callable[[int], int]) -> None:
    if column.null_count == len(column):
        return
    row = pc.index(pc.is_valid(column), True).as_py()
    raise InputError(
        "cell beyond the last column",
        where=f"{path}, line {line_of(row)}",
        rule=f"have {len(header.names)} cells, one for each column of the header",
        found=column[row].as_py(),
        remedy="name the column, or delete the cell",
    )


def _without_nameless(names: list[str], columns: list[Any]) -> tuple[list[str], list[Any]]:
    """Drop nameless empty columns; name other nameless columns as pandas does (`Unnamed: 3`)."""
    kept = [i for i, name in enumerate(names) if name or columns[i].null_count < len(columns[i])]
    return [names[i] or f"Unnamed: {i}" for i in kept], [columns[i] for i in kept]


def _unguarded(column: Any, unguard: Any) -> Any:
    if not pc.any(pc.starts_with(column, "'")).as_py():
        return column
    texts = [None if cell is None else unguard(cell) for cell in column.to_pylist()]
    return pa.chunked_array([pa.array(texts, column.type)])
