"""CSV tables: where the header stands, that every row is as long as it, and that every row is a galaxy.

The file is split into cells by Arrow. What Arrow does not take – a row of another length, a blank between comma and
quote – is gone through again line by line, to be understood or to be named by its line.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pacsv

from gzfeatures.errors import InputError
from gzfeatures.galaxies import csvrows
from gzfeatures.galaxies.cells import typed
from gzfeatures.galaxies.rawtable import RawTable

_HEAD = 2**20
"""Bytes that are searched for the header first; twice as many each time until it is whole."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SEP = re.compile(r"sep=.?\r?$", re.MULTILINE)
"""First line of a CSV that a spreadsheet wrote for itself."""
_QUOTE_AFTER_BLANK = r'^[ \t]*"'


@dataclasses.dataclass(frozen=True)
class _Header:
    """Column names, whether rows may end in one comma more, where the rows begin, and what separates cells."""

    names: tuple[str, ...]
    spare: bool
    line: int
    offset: int
    separator: str
    notes: tuple[str, ...] = ()


def read_csv(path: Path, id_columns: Collection[str], unguard: Any) -> RawTable:
    """Read a CSV file, plain or compressed by gzip; a header without commas may have tabs, semicolons or bars.

    Lines before the header that begin with `#`, such as SkyServer's `#Table1`, are left out; where the last of them is
    the header, it is. One comma more at the end of every row is no column. A row of types or of units below the
    header, and a line such as `(40 rows affected)` at the end, are left out, with a note.

    Parameters
    ----------
    path : Path
        Text in UTF-8.
    id_columns : collection of str
        Columns whose cells stay text.
    unguard : callable
        Text of a cell or name → the text before it was guarded against being run as a formula.

    Raises
    ------
    InputError
        A row has another length than the header, is no galaxy, or the header stands twice.
    """
    header = _header(path)
    try:
        return _table(path, header, id_columns, unguard, by_line=False)
    except _NotPlain:
        return _table(path, header, id_columns, unguard, by_line=True)


class _NotPlain(Exception):
    """Arrow does not split the rows of this file as they are meant."""


def _table(path: Path, header: _Header, id_columns: Collection[str], unguard: Any, *, by_line: bool) -> RawTable:
    names = [*header.names, *([""] if header.spare else [])]
    columns, ends = _by_line(path, header, len(names)) if by_line else (_cells(path, header, names), [])
    if header.spare:
        _require_empty(columns.pop(), path, header)
        names.pop()
    names, columns = _without_nameless([unguard(name) for name in names], columns)
    rows, words = csvrows.galaxies(names, columns, path, header.line)
    if rows is not None:
        columns = [column.slice(rows.start, rows.stop - rows.start) for column in columns]

    def values(place: int) -> Any:
        column, columns[place] = columns[place], None  # the cells are given up once they are values
        bare = partial(_unguarded, unguard=unguard)
        result = bare(column) if names[place] in id_columns else typed(column, bare)
        if not by_line and _is_text(result) and _any(result, _QUOTE_AFTER_BLANK):
            raise _NotPlain
        return result

    with ThreadPoolExecutor(2) as pool:
        raw = list(pool.map(values, range(len(names))))
    return RawTable(names, raw, [*header.notes, *ends, *words])


def _is_text(column: Any) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _any(column: Any, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(column, pattern)).as_py())


def _stream(path: Path) -> Any:
    return pa.input_stream(str(path), compression="gzip" if path.name.lower().endswith(".gz") else None)


def _header(path: Path) -> _Header:
    size = _HEAD
    while True:
        with _stream(path) as stream:
            head = stream.read(size)
        header = _header_in(head, path, whole=len(head) < size)
        if header is not None:
            return header
        size *= 2


def _header_in(head: bytes, path: Path, *, whole: bool) -> _Header | None:
    """The header in the first bytes of a file; None where they do not hold it and the first row."""
    bom = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    try:
        text = head[bom:].decode("utf-8") if whole else head[bom : head.rfind(b"\n") + 1].decode("utf-8")
    except UnicodeDecodeError as error:
        line = head[: bom + error.start].count(b"\n") + 1
        raise InputError("not a text in UTF-8", where=f"{path}, line {line}", remedy="save it as UTF-8") from None
    lines = list(io.StringIO(text, newline=""))
    first, comments = 0, []
    while first < len(lines) and (lines[first].startswith("#") or not lines[first].strip() or _SEP.match(lines[first])):
        if lines[first].startswith("#"):
            comments.append(lines[first])
        first += 1
    separator = _separator(lines[first:])
    records = _records(lines[first:], separator)
    header, header_end = next(records, ([], 0))
    row, _ = next(records, ([], 0))
    if not whole and not row:
        return None
    notes = []
    if comments:
        names = next(csv.reader([comments[-1].lstrip("#").strip()], delimiter=separator, skipinitialspace=True), [])
        is_row = any(_NUMBER.fullmatch(cell.strip()) for cell in header)
        if len(names) == len(header) and is_row and not any(_NUMBER.fullmatch(name.strip()) for name in names):
            header, row, header_end = names, header, 0
            comments.pop()
        if comments:
            notes.append(f"{len(comments)} lines before the header begin with # and are left out")
    if not header:
        raise ValueError("it is empty")
    names = [name.strip() for name in header]
    spare = len(row) == len(names) + 1 and not row[-1].strip()
    if row and len(row) == len(names) - 1 and not names[-1]:
        names = names[:-1]
    end = first + header_end
    offset = bom + len("".join(lines[:end]).encode())
    return _Header(tuple(names), spare, end, offset, separator, tuple(notes))


def _separator(lines: list[str]) -> str:
    """What separates the names of the header: a comma, or where it has none a tab, semicolon or bar."""
    header = next((line for line in lines if line.strip()), "")
    return next((mark for mark in ",\t;|" if mark in header), ",")


def _records(lines: list[str], separator: str) -> Iterator[tuple[list[str], int]]:
    """Records that hold anything, and how many lines were read up to their end."""
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    for record in reader:
        if record:
            yield record, reader.line_num


def _cells(path: Path, header: _Header, names: list[str]) -> list[Any]:
    """Every cell as text; an empty one is null."""
    columns = [str(number) for number in range(len(names))]
    with _stream(path) as stream:
        stream.read(header.offset)
        try:
            table = pacsv.read_csv(
                stream,
                read_options=pacsv.ReadOptions(column_names=columns, block_size=2**22),
                parse_options=pacsv.ParseOptions(delimiter=header.separator, newlines_in_values=True),
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


def _by_line(path: Path, header: _Header, width: int) -> tuple[list[Any], list[str]]:
    """What `_cells` gives, record by record; a row of another length is refused, but for the words that end a file.

    Raises
    ------
    InputError
        It names the line.
    """
    cells: list[list[str | None]] = [[] for _ in range(width)]
    notes, ended = [], None
    with _stream(path) as stream:
        stream.read(header.offset)
        text = io.TextIOWrapper(stream, "utf-8", newline="")
        reader = csv.reader(text, delimiter=header.separator, skipinitialspace=True, strict=True)
        for record in reader:
            line = header.line + reader.line_num
            if not record or (len(record) == 1 < width and not record[0].strip()):
                continue
            if len(record) == 1 < width and csvrows.FOOTER.fullmatch(record[0].strip()):
                ended = record[0].strip()
                notes.append(f"line {line} is no galaxy and is left out: {ended}")
                continue
            if header.spare and len(record) == width - 1:
                record = [*record, ""]
            if len(record) != width or ended is not None:
                expected = len(header.names)
                raise InputError(
                    "row has another number of cells" if len(record) != width else "row below the end of the table",
                    where=f"{path}, line {line}",
                    rule=f"have {expected} cells, one for each column of the header",
                    found=f"{len(record)}: {header.separator.join(record)}",
                    remedy="correct or delete the line",
                )
            for column, cell in zip(cells, record, strict=True):
                column.append(cell or None)
    return [pa.chunked_array([pa.array(column, pa.large_string())]) for column in cells], notes


def _require_empty(column: Any, path: Path, header: _Header) -> None:
    if column.null_count == len(column):
        return
    row = pc.index(pc.is_valid(column), True).as_py()
    raise InputError(
        "cell beyond the last column",
        where=f"{path}, line {header.line + row + 1}",
        rule=f"have {len(header.names)} cells, one for each column of the header",
        found=column[row].as_py(),
        remedy="name the column, or delete the cell",
    )


def _without_nameless(names: list[str], columns: list[Any]) -> tuple[list[str], list[Any]]:
    """Without empty columns that have no name; one that holds something is called as pandas calls it."""
    kept = [i for i, name in enumerate(names) if name or columns[i].null_count < len(columns[i])]
    return [names[i] or f"Unnamed: {i}" for i in kept], [columns[i] for i in kept]


def _unguarded(column: Any, unguard: Any) -> Any:
    if not pc.any(pc.starts_with(column, "'")).as_py():
        return column
    texts = [None if cell is None else unguard(cell) for cell in column.to_pylist()]
    return pa.chunked_array([pa.array(texts, column.type)])
