"""Read CSV files record by record if Arrow cannot split them, and report faulty lines by number."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from gzfeatures.errors import InputError
from gzfeatures.tablefiles.csv import stray_rows
from gzfeatures.tablefiles.csv.header import Header, opened

_CHUNK = 20_000
"""Number of rows that are held as Python texts before they become Arrow arrays."""
_LISTED = 10
"""Largest number of comment lines that are shown to the user one by one."""


class _Lines:
    """Yield the lines of a CSV file for `csv.reader`, without the comments between records."""

    def __init__(self, stream: Iterator[str], line: int) -> None:
        self.stream, self.number = stream, line
        self.begins = True
        self.comments: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for line in self.stream:
            self.number += 1
            if self.begins and line.lstrip(" ").startswith("#"):
                self.comments.append((self.number, line.strip()))
                continue
            # skip no line until `_closed` reports the end of this record: inside a quoted cell, a
            # line that begins with # is no comment
            self.begins = False
            return line
        raise StopIteration

    def notes(self) -> list[str]:
        """Return a message for each of the first ten skipped comments, and one for the others."""
        listed = [
            f"line {line} is no galaxy and is left out: {text}"
            for line, text in self.comments[:_LISTED]
        ]
        more = len(self.comments) - _LISTED
        return [
            *listed,
            *([f"{more} more lines that begin with # are left out"] if more > 0 else []),
        ]


def read_lines(path: Path, header: Header, width: int) -> tuple[list[Any], list[int], list[str]]:
    """Return a CSV file's columns as text, each row's line number, and messages on skipped lines.

    Only a line such as `(40 rows affected)` at the end of the file may have another number of cells
    than the header.

    Raises
    ------
    InputError
        A row has another number of cells, or a quote is not closed; the message names the line.
    """
    cells: list[list[str | None]] = [[] for _ in range(width)]
    chunks: list[list[Any]] = [[] for _ in range(width)]
    numbers: list[int] = []
    notes, ended = [], None
    with opened(path) as stream:
        stream.read(header.offset)
        text = io.TextIOWrapper(stream, "utf-8", newline="")
        lines = _Lines(text, header.line)
        reader = csv.reader(lines, delimiter=header.separator, skipinitialspace=True, strict=True)
        for record in _closed(reader, path, lines):
            line = lines.number
            if not record or (len(record) == 1 < width and not record[0].strip()):
                continue
            if len(record) == 1 < width and stray_rows.FOOTER.fullmatch(record[0].strip()):
                ended = record[0].strip()
                notes.append(f"line {line} is no galaxy and is left out: {ended}")
                continue
            if header.spare and len(record) == width - 1:
                record = [*record, ""]
            if len(record) != width or ended is not None:
                expected = len(header.names)
                raise InputError(
                    "row has another number of cells"
                    if len(record) != width
                    else "row below the end of the table",
                    where=f"{path}, line {line}",
                    rule=f"have {expected} cells, one for each column of the header",
                    found=f"{len(record)}: {header.separator.join(record)}",
                    remedy="correct or delete the line",
                )
            for column, cell in zip(cells, record, strict=True):
                column.append(cell or None)
            numbers.append(line)
            if len(cells[0]) == _CHUNK:
                _flush(cells, chunks)
    _flush(cells, chunks)
    return [pa.chunked_array(parts) for parts in chunks], numbers, [*lines.notes(), *notes]


def _flush(cells: list[list[str | None]], chunks: list[list[Any]]) -> None:
    """Move the CSV cells read so far into Arrow arrays, which need a tenth of the memory."""
    for column, parts in zip(cells, chunks, strict=True):
        parts.append(pa.array(column, pa.large_string()))
        column.clear()


def _closed(reader: Any, path: Path, lines: _Lines) -> Iterator[list[str]]:
    """Yield the records of a CSV file; if a quote is never closed, raise an error with its line."""
    start = lines.number
    try:
        for record in reader:
            start, lines.begins = lines.number, True
            yield record
    except csv.Error as error:
        raise InputError(
            "quotes do not match",
            where=f"{path}, line {start + 1}",
            found=str(error),
            remedy="correct the line",
        ) from None
