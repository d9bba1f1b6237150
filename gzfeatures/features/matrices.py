"""Allocate matrices that may be larger than memory: large matrices are files on disk."""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import psutil

from gzfeatures import user_folders
from gzfeatures.errors import OutputError
from gzfeatures.features.shard import Matrix as Matrix

BLOCK = 8192
"""Number of rows handled at once, so that no step needs a second copy of a large table."""
SHARE = 0.25
"""Largest share of the machine's memory that a matrix in memory may use."""


def allocate(rows: int, columns: int) -> Matrix:
    """Return an empty matrix, shape (rows, columns), in memory or, if large, in a file.

    The file has no name in `user_folders.scratch()`, is readable by nobody else, and disappears
    with the matrix or the process.

    Raises
    ------
    OutputError
        The disk has no room for it.

    Examples
    --------
    >>> allocate(3, 2).shape
    (3, 2)
    """
    size = 4 * rows * columns
    if size <= SHARE * psutil.virtual_memory().total:
        return np.empty((rows, columns), dtype=np.float32)
    folder = user_folders.scratch()
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
            remedy="free space, or name another folder in TMPDIR (GZFEATURES_STORE for a verb)",
        ) from error


def take_rows(matrix: Matrix, rows: npt.NDArray[np.intp]) -> Matrix:
    """Return a copy of some rows, shape (len(rows), d), in memory or, if large, in a file."""
    # copy in blocks, because indexing all rows at once would make a second copy in memory
    taken = allocate(len(rows), matrix.shape[1])
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        taken[part] = matrix[rows[part]]
    return taken


def _reserve(file: BinaryIO, size: int) -> None:
    """Reserve the full size of a file on the disk."""
    # otherwise, if the disk becomes full, writing to the mapped file kills the process
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = bytes(2**20)
    for start in range(0, size, len(zeros)):
        file.write(zeros[: size - start])
    file.flush()
