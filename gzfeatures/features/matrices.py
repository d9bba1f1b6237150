"""Allocate matrices of vectors; those too large for memory are files on disk."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import psutil

from gzfeatures.features.shard import Matrix as Matrix
from gzfeatures.files import scratch_memory

BLOCK = 8192
"""Number of rows handled at once, so that no step needs a second copy of a large table."""
SHARE = 0.25
"""Largest share of the machine's memory that a matrix in memory may use."""


def allocate(rows: int, columns: int) -> Matrix:
    """Return an uninitialised matrix, shape (rows, columns), in memory or, if large, in a file.

    The file lies without a name in the folder `user_folders.scratch()`; nobody else can read it,
    and it disappears with the matrix or the process.

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
    memory = scratch_memory(size, f"{rows:,} vectors of {columns} numbers")
    return np.frombuffer(memory, dtype=np.float32).reshape(rows, columns)


def take_rows(matrix: Matrix, rows: npt.NDArray[np.intp]) -> Matrix:
    """Return a copy of the rows with the given indices, in memory or, if large, in a file."""
    # indexing all rows at once would make a second copy in memory, so copy block by block
    taken = allocate(len(rows), matrix.shape[1])
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        taken[part] = matrix[rows[part]]
    return taken
