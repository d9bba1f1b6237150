"""Matrices that may be larger than memory: a large one lies in a file, of which only the pages in use are held."""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import psutil

from gzfeatures.errors import OutputError
from gzfeatures.features.shard import Matrix as Matrix
from gzfeatures.features.store import Store

BLOCK = 8192
"""Rows handled at once, so that no step needs a second copy of a large table."""
SHARE = 0.25
"""Part of the machine's memory that a matrix must not exceed to be held in it."""


def allocate(rows: int, columns: int) -> Matrix:
    """Matrix to be filled, shape (rows, columns), in memory or, where it is large, in a nameless file.

    The file lies in the store's folder, is readable by nobody else, and is gone when the matrix or
    the process is.

    Raises
    ------
    OutputError
        The disk has no room for it.
    """
    size = 4 * rows * columns
    if size <= SHARE * psutil.virtual_memory().total:
        return np.empty((rows, columns), dtype=np.float32)
    folder = Store.default().root
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file, size)
            return np.frombuffer(mmap.mmap(file.fileno(), size), dtype=np.float32).reshape(
                rows, columns
            )
    except OSError as error:
        raise OutputError(
            f"no room for {rows:,} vectors of {columns} numbers: {error.strerror or error}",
            where=folder,
            rule=f"have {size / 1e9:.1f} GB free",
            remedy="free space, or name another folder in GZFEATURES_STORE",
        ) from error


def take_rows(matrix: Matrix, rows: npt.NDArray[np.intp]) -> Matrix:
    """Copy of some rows of a matrix, shape (len(rows), d); raises as `room` does."""
    taken = allocate(len(rows), matrix.shape[1])
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        taken[part] = matrix[rows[part]]
    return taken


def _reserve(file: BinaryIO, size: int) -> None:
    """Have the disk give all of a file's space now: a map of a file that cannot grow would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = bytes(2**20)
    for start in range(0, size, len(zeros)):
        file.write(zeros[: size - start])
    file.flush()
