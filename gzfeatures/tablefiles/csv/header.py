"""Where the rows of a CSV file begin, what its columns are called, and what separates its cells."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from gzfeatures.errors import InputError

_HEAD = 2**20
"""Bytes that are searched for the header first; twice as many each time until it is whole."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SEP = re.compile(r"sep=.?\r?$", re.MULTILINE)
"""First line of a CSV that a spreadsheet wrote for itself."""


@dataclasses.dataclass(frozen=True)
class Header:
    """Column names, whether rows may end in one comma more, where the rows begin, and what separates cells."""

    names: tuple[str, ...]
    spare: bool
    line: int
    offset: int
    separator: str
    notes: tuple[str, ...] = ()


def opened(path: Path) -> Any:
    """Stream of a file's bytes, unpacked where its name ends in .gz."""
    return pa.input_stream(
        str(path), compression="gzip" if path.name.lower().endswith(".gz") else None
    )


def header_of(path: Path) -> Header:
    """Find the header of a CSV file.

    Raises
    ------
    InputError
        It is not UTF-8.
    ValueError
        It is empty.
    """
    size = _HEAD
    while True:
        with opened(path) as stream:
            head = stream.read(size)
        header = _header_in(head, path, whole=len(head) < size)
        if header is not None:
            return header
        size *= 2


def _header_in(head: bytes, path: Path, *, whole: bool) -> Header | None:
    """The header in the first bytes of a file; None where they do not hold it and the first row."""
    bom = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    try:
        text = (
            head[bom:].decode("utf-8")
            if whole
            else head[bom : head.rfind(b"\n") + 1].decode("utf-8")
        )
    except UnicodeDecodeError as error:
        line = head[: bom + error.start].count(b"\n") + 1
        raise InputError(
            "not a text in UTF-8", where=f"{path}, line {line}", remedy="save it as UTF-8"
        ) from None
    lines = list(io.StringIO(text, newline=""))
    first, comments = 0, []
    while first < len(lines) and (
        lines[first].startswith("#") or not lines[first].strip() or _SEP.match(lines[first])
    ):
        if lines[first].startswith("#"):
            comments.append(lines[first])
        first += 1
    separator = _separator(lines[first:])
    records = _records(lines[first:], separator)
    header, header_end = next(records, ([], 0))
    row = next((cells for cells, _ in records if not cells[0].lstrip().startswith("#")), [])
    if not whole and not row:
        return None
    notes = []
    if comments:
        names = next(
            csv.reader(
                [comments[-1].lstrip("#").strip()], delimiter=separator, skipinitialspace=True
            ),
            [],
        )
        is_row = any(_NUMBER.fullmatch(cell.strip()) for cell in header)
        if (
            len(names) == len(header)
            and is_row
            and not any(_NUMBER.fullmatch(name.strip()) for name in names)
        ):
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
    return Header(tuple(names), spare, end, offset, separator, tuple(notes))


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
