"""Define the format of an index file: header, arrays of the cells, and vectors sorted by cell."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint

MAGIC, FORMAT = b"gzcells\n", 1
LARGEST_HEADER = 65_536
"""Most bytes of the JSON text before the arrays."""
ARRAYS = ("centres", "starts", "rows", "sums", "vectors")
"""Arrays of an index file, in their order."""
NUMBERS = ("cells", "probes", "rows", "dim")
"""Whole numbers of the header: sizes of the arrays, and cells that a search reads (probes)."""


def layout(rows: int, dim: int, cells: int) -> dict[str, tuple[type, tuple[int, ...]]]:
    """Return the type and shape of each array of an index file, in the order of `ARRAYS`."""
    sizes = ((cells, dim), (cells + 1,), (rows,), (cells,), (rows, dim))
    kinds = (np.float32, np.int64, np.int64, np.uint32, np.float32)
    return dict(zip(ARRAYS, zip(kinds, sizes, strict=True), strict=True))


def sizes(rows: int, dim: int, cells: int) -> list[int]:
    """Return the size in bytes of each array of an index file, in the order of `ARRAYS`.

    Python's whole numbers have no largest value, so a header cannot make a size overflow.
    """
    return [int(np.dtype(kind).itemsize * np.prod(shape, dtype=object))
            for kind, shape in layout(rows, dim, cells).values()]  # fmt: skip


def checksum(header: dict[str, Any], small: Sequence[npt.NDArray[Any]]) -> str:
    """Return the sha256 of a header (without its checksum) and of the arrays before the vectors."""
    told = {key: value for key, value in header.items() if key != "sha256"}
    return fingerprint.of([told, *(fingerprint.of_array(each) for each in small)])


def head(header: dict[str, Any], small: Sequence[npt.NDArray[Any]]) -> bytes:
    """Return an index file's first bytes (header), padded to the same length for every header."""
    text = json.dumps({**header, "sha256": checksum(header, small)}).encode().ljust(1000)
    return MAGIC + struct.pack("<Q", len(text)) + text


HEAD = len(MAGIC) + 8 + 1000
"""Bytes of `head`, after which the arrays begin."""


def read_header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """Return the header of an index file, and the position at which the arrays begin.

    Raises
    ------
    ValueError
        The file does not begin as an index file does.
    """
    if file.read(len(MAGIC)) != MAGIC:
        raise ValueError("its first bytes are not those of an index")
    (size,) = struct.unpack("<Q", file.read(8))
    if size > LARGEST_HEADER:
        raise ValueError(f"header of {size} bytes")
    header = json.loads(file.read(size))
    kinds = {**dict.fromkeys(("format", *NUMBERS), int), "recall": float}
    kinds.update(dict.fromkeys(("table", "sha256"), str))
    # a bool is an int for Python, so compare the types themselves
    if not isinstance(header, dict) or {key: type(each) for key, each in header.items()} != kinds:
        raise ValueError("header has other keys or types than an index")
    if not 0 <= header["recall"] <= 1:
        raise ValueError(f"recall of {header['recall']}")
    return header, len(MAGIC) + 8 + size
