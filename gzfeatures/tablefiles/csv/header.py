"""Find the header of a CSV file, its column names, and the separator of its cells."""

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
"""Number of bytes that are first searched for the header; it doubles until the header is found."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SEP = re.compile(r"sep=.?\r?$", re.MULTILINE)
"""Pattern of the first line `sep=;`, by which spreadsheet programs name the separator of cells."""


@dataclasses.dataclass(frozen=True)
class Header:
    """Store the column names of a CSV file, the position of its first row, and its separator."""

    names: tuple[str, ...]
    spare: bool
    line: int
    offset: int
    separator: str
    notes: tuple[str, ...] = ()


def opened(path: Path) -> Any:
    """Open a file as a stream of bytes, decompressed if its name ends in .gz."""
    return pa.input_stream(
        str(path), compression="gzip" if path.name.lower().endswith(".gz") else None
    )


def header_of(path: Path) -> Header:
    """Find the header of a CSV file: column names, separator, and where the first row begins.

    Raises
    ------
    InputError
        The file is not UTF-8.
    ValueError
        The file is empty.
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
    """Return the CSV header in a file's first bytes; None if header or first row is incomplete."""
    bom = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    lines = list(io.StringIO(_text(head, bom, path, whole=whole), newline=""))
    first, comments = _leading(lines)
    separator = _separator(lines[first:])
    records = _records(lines[first:], separator)
    header, header_end = next(records, ([], 0))
    row = next((cells for cells, _ in records if not cells[0].lstrip().startswith("#")), [])
    if not whole and not row:
        return None
    notes = []
    if comments:
        names = _names_in_comment(comments[-1], separator, header)
        if names:
            # the column names were in a comment, so the line that seemed to be the header is the
            # first galaxy
            header, row, header_end = names, header, 0
            comments.pop()
        if comments:
            notes.append(f"{len(comments)} lines before the header begin with # and are left out")
    if not header:
        raise ValueError("it is empty")
    names = [name.strip() for name in header]
    # allow one comma too many at the end of each row or at the end of the header, because some
    # programs write such commas
    spare = len(row) == len(names) + 1 and not row[-1].strip()
    if row and len(row) == len(names) - 1 and not names[-1]:
        names = names[:-1]
    end = first + header_end
    offset = bom + len("".join(lines[:end]).encode())
    return Header(tuple(names), spare, end, offset, separator, tuple(notes))


def _text(head: bytes, bom: int, path: Path, *, whole: bool) -> str:
    """Decode a file's first bytes to text, without byte order mark and incomplete last line."""
    end = len(head) if whole else head.rfind(b"\n") + 1
    try:
        return head[bom:end].decode("utf-8")
    except UnicodeDecodeError as error:
        line = head[: bom + error.start].count(b"\n") + 1
        raise InputError(
            "not a text in UTF-8", where=f"{path}, line {line}", remedy="save it as UTF-8"
        ) from None


def _leading(lines: list[str]) -> tuple[int, list[str]]:
    """Return how many lines stand before a CSV header, and which of these lines are comments."""
    first, comments = 0, []
    while first < len(lines) and (
        lines[first].startswith("#") or not lines[first].strip() or _SEP.match(lines[first])
    ):
        if lines[first].startswith("#"):
            comments.append(lines[first])
        first += 1
    return first, comments


def _names_in_comment(comment: str, separator: str, record: list[str]) -> list[str]:
    """Return the column names in a comment before the first row; [] if it names no columns."""
    reader = csv.reader([comment.lstrip("#").strip()], delimiter=separator, skipinitialspace=True)
    names = next(reader, [])
    # if the line after the comment contains a number, it is no header but the first galaxy, so the
    # comment may list the column names; a comment with a number lists none
    is_row = any(_NUMBER.fullmatch(cell.strip()) for cell in record)
    has_number = any(_NUMBER.fullmatch(name.strip()) for name in names)
    return names if len(names) == len(record) and is_row and not has_number else []


def _separator(lines: list[str]) -> str:
    """Return the first of comma, tab, semicolon and bar in a CSV header; comma if it has none."""
    header = next((line for line in lines if line.strip()), "")
    return next((mark for mark in ",\t;|" if mark in header), ",")


def _records(lines: list[str], separator: str) -> Iterator[tuple[list[str], int]]:
    """Yield the cells of each non-empty CSV record and the number of lines read so far."""
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    for record in reader:
        if record:
            yield record, reader.line_num
