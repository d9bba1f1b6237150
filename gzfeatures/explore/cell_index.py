"""Keep an index beside a table, a file of vectors ordered by cells, and search a few of them."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.brief import quote
from gzfeatures.errors import InputError, parsing, require_format
from gzfeatures.explore.nearest import cells_of
from gzfeatures.explore.scan import require_lengths, scan, squared_distances
from gzfeatures.features.matrices import BLOCK
from gzfeatures.features.table import EmbeddingTable, TableFile
from gzfeatures.files import require_file, written_whole

Matrix = npt.NDArray[np.float32]
MAGIC, FORMAT = b"gzcells\n", 1
LARGEST_HEADER = 65_536
"""Most bytes of the JSON text before the arrays."""
ARRAYS = ("centres", "starts", "rows", "sums", "vectors")
"""Arrays of an index file, in their order."""
NUMBERS = ("cells", "probes", "rows", "dim")
"""Whole numbers of the header that say how large the arrays are and how much is searched."""
CELL, FEWEST = 4.0, 8
"""Cells of a table in units of the square root of its rows, and fewest cells that are searched."""
WANTED, AMONG, SAMPLE = 0.985, 10, 200
"""Share of the nearest ten that cells must hold, as measured on this number of galaxies."""
WIDER = 4
"""Rows that are searched in addition for each neighbour wanted beyond `AMONG`."""
UNREADABLE, AGAIN = "not a readable index", "build it with 'gzfeatures table index'"


class CellIndex:
    """Search an embedding table through its index file, of which a search reads a few cells.

    All that the file holds are numbers: nothing in it is run, and each size is compared with the
    size of the file before memory is taken.

    Parameters
    ----------
    path : str or Path
        Index file that `build` wrote.
    table : TableFile
        The table that it was built from.

    Attributes
    ----------
    cells, probes : int
        Number of cells, and how many of them a search reads.
    recall : float
        Share of the ten nearest galaxies that such searches found when the index was built, in
        [0, 1].

    Raises
    ------
    MissingFileError, InputError
        No such file; it is no index, is damaged, or belongs to another table or to an earlier
        state of this one.
    """

    def __init__(self, path: str | Path, table: TableFile) -> None:
        self.path = require_file(path, "index")
        with parsing(UNREADABLE, self.path, remedy=AGAIN), self.path.open("rb") as file:
            header, offset = _header(file)
            require_format("index", header["format"], FORMAT, self.path)
            self.cells, self.probes, rows, dim = (header[name] for name in NUMBERS)
            self.recall = header["recall"]
            if not (1 <= self.cells <= rows and 1 <= self.probes <= self.cells and dim >= 1):
                raise ValueError("numbers of cells and rows do not agree")
            arrays = self._mapped(offset, _layout(rows, dim, self.cells))
        self._require_table(header, table, rows, dim)
        self.centres, self._starts, self._rows, self._sums, self._vectors = arrays
        if header["sha256"] != _checksum(header, arrays[:4]) or not self._consistent():
            raise self._damaged("tables of cells")

    def _consistent(self) -> bool:
        """Tell whether the cells hold each row of the table once, and their centres are finite."""
        rows, starts = self._rows, self._starts
        if starts[0] or starts[-1] != len(rows) or (np.diff(starts) < 0).any():
            return False
        if rows.min() < 0 or rows.max() >= len(rows) or not np.isfinite(self.centres).all():
            return False
        return bool((np.bincount(rows, minlength=len(rows)) == 1).all())

    def _mapped(
        self, offset: int, layout: dict[str, tuple[type, tuple[int, ...]]]
    ) -> list[npt.NDArray[Any]]:
        """Map the arrays of the file to memory, after their sizes were compared with the file's."""
        sizes = [int(np.dtype(kind).itemsize * np.prod(shape, dtype=object))
                 for kind, shape in layout.values()]  # fmt: skip
        if offset + sum(sizes) != self.path.stat().st_size:
            raise ValueError(f"file has {self.path.stat().st_size} bytes")
        arrays: list[npt.NDArray[Any]] = []
        for size, (kind, shape) in zip(sizes, layout.values(), strict=True):
            arrays.append(np.memmap(self.path, kind, "r", offset, shape))
            offset += size
        return arrays

    def _require_table(self, header: dict[str, Any], table: TableFile, rows: int, dim: int) -> None:
        """Refuse a table whose bytes are not those that the index was built from."""
        same = rows == len(table) and dim == table.extractor.dim
        if not same or header["table"] != fingerprint.of_file(table.path):
            raise InputError(
                "index is of another table",
                where=self.path,
                rule=f"be built from {table.path} as it is now",
                remedy=f"build it again: gzfeatures table index {quote(table.path)} -o FILE",
            )

    def _damaged(self, what: str) -> InputError:
        return InputError("index is damaged", where=self.path, found=what, remedy=AGAIN)

    def nearest(
        self, queries: Matrix, k: int, own: npt.NDArray[np.intp], probes: int | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Find the k nearest rows of each query vector among the rows of the nearest cells.

        Parameters
        ----------
        queries : ndarray of float32
            Shape (m, dim), finite.
        k : int
            Neighbours per query, fewer than the table has rows.
        own : ndarray of int
            Row of each query, shape (m,): nobody is their own neighbour.
        probes : int, optional
            Cells to read; default as many as the index was measured with, and more where more than
            ten neighbours are wanted.

        Returns
        -------
        rows : ndarray of int64
            Shape (m, k), nearest first; of equal distances the earlier row.
        distances : ndarray of float64
            Shape (m, k), euclidean.

        Raises
        ------
        InputError
            A cell of the file is damaged.
        """
        rows, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
        # the number of cells was measured for ten neighbours, and more of them lie in more cells
        wider = -(-WIDER * max(0, k - AMONG) * self.cells // len(self._rows))
        for number, query in enumerate(queries):
            chosen = self._near_cells(query, k, probes or self.probes + wider)
            members = np.concatenate(
                [self._rows[self._starts[cell] : self._starts[cell + 1]] for cell in chosen]
            )
            far = np.concatenate([squared_distances(self._cell(cell), query) for cell in chosen])
            # the galaxy itself is among its neighbours, so leave it out
            far[members == own[number]] = np.inf
            order = np.lexsort((members, far))[:k]
            rows[number], distances[number] = members[order], np.sqrt(far[order])
            if not np.isfinite(distances[number]).all():
                raise self._damaged("vectors that are not finite")
        return rows, distances

    def _near_cells(self, query: Matrix, k: int, probes: int) -> npt.NDArray[np.intp]:
        """Return the cells that are nearest to a query, as many as asked for or as k rows need."""
        difference = self.centres - query
        order = np.argsort(np.einsum("ij,ij->i", difference, difference), kind="stable")
        sizes = np.cumsum(np.diff(self._starts)[order])
        enough = int(np.searchsorted(sizes, k + 1)) + 1
        chosen = order[: max(probes, enough)]
        return chosen[np.diff(self._starts)[chosen] > 0]

    def _cell(self, cell: int) -> Matrix:
        """Return the vectors of a cell, shape (r, dim); refuse bytes that are not as written."""
        vectors = self._vectors[self._starts[cell] : self._starts[cell + 1]]
        if zlib.crc32(vectors.data) != self._sums[cell]:
            raise self._damaged(f"cell {cell}")
        return np.asarray(vectors)

    @classmethod
    def build(cls, table: TableFile, path: str | Path, *, seed: int = 0) -> CellIndex:
        """Order the rows of a table by cells of near vectors, write the index, and measure it.

        Parameters
        ----------
        table : TableFile
            Galaxies, at least two.
        path : str or Path
            Index file; it needs as much disk as the vectors do in single precision.
        seed : int
            Of the cells, and of the galaxies on which the recall is measured.

        Raises
        ------
        InputError
            The table has fewer than two galaxies, or vectors too long to be compared.
        OutputError
            The place cannot be written; an existing file is left as it was.
        """
        digest, matrix = fingerprint.of_file(table.path), EmbeddingTable.read(table.path).matrix
        if len(matrix) < 2:
            raise InputError(
                "galaxies of an index", where=table.path, rule="be at least 2", found=len(matrix)
            )
        for start in range(0, len(matrix), BLOCK):
            require_lengths(matrix[start : start + BLOCK], start)
        count = int(np.clip(CELL * np.sqrt(len(matrix)), 1, max(1, len(matrix) // 40)))
        centres, place = cells_of(matrix, count, rounds=8, seed=seed + 1)
        rows = np.argsort(place, kind="stable").astype(np.int64)
        starts = np.searchsorted(place[rows], np.arange(len(centres) + 1)).astype(np.int64)
        sums = np.asarray(
            [zlib.crc32(matrix[rows[a:b]].data) for a, b in pairwise(starts)],
            dtype=np.uint32,
        )
        small = (centres, starts, rows, sums)
        header = {
            "format": FORMAT,
            "table": digest,
            "rows": len(matrix),
            "dim": matrix.shape[1],
            "cells": len(centres),
            "probes": min(FEWEST, len(centres)),
            "recall": 0.0,
        }
        with written_whole(Path(path)) as temporary:
            _write(temporary, header, small, matrix)
            # measure with the file that was written, then write the measured numbers into its head
            measured = cls(temporary, table)._measured(matrix, seed)
            with temporary.open("r+b") as file:
                file.write(_head({**header, **measured}, small))
        return cls(path, table)

    def _measured(self, matrix: Matrix, seed: int) -> dict[str, Any]:
        """Double the cells that a search reads until it finds enough of the nearest galaxies."""
        k = min(AMONG, len(matrix) - 1)
        sample = np.sort(np.random.default_rng(seed).permutation(len(matrix))[:SAMPLE])
        blocks = (matrix[start : start + BLOCK] for start in range(0, len(matrix), BLOCK))
        _, truth = scan(blocks, matrix[sample], k, own=sample)
        probes = self.probes
        while True:
            _, found = self.nearest(matrix[sample], k, sample, probes)
            # compare distances, not row numbers: of equally near rows, any is right
            recall = float(np.mean(found <= truth[:, -1:] * (1 + 1e-5) + 1e-12))
            if recall >= WANTED or probes == self.cells:
                return {"probes": probes, "recall": recall}
            probes = min(2 * probes, self.cells)


def _layout(rows: int, dim: int, cells: int) -> dict[str, tuple[type, tuple[int, ...]]]:
    """Return the type and shape of each array of an index file, in the order of `ARRAYS`."""
    sizes = ((cells, dim), (cells + 1,), (rows,), (cells,), (rows, dim))
    kinds = (np.float32, np.int64, np.int64, np.uint32, np.float32)
    return dict(zip(ARRAYS, zip(kinds, sizes, strict=True), strict=True))


def _checksum(header: dict[str, Any], small: Sequence[npt.NDArray[Any]]) -> str:
    """Return the sha256 of what a header tells and of the arrays before the vectors."""
    told = {key: value for key, value in header.items() if key != "sha256"}
    return fingerprint.of([told, *(fingerprint.of_array(each) for each in small)])


def _head(header: dict[str, Any], small: Sequence[npt.NDArray[Any]]) -> bytes:
    """Return the first bytes of an index file, which have the same number for every header."""
    text = json.dumps({**header, "sha256": _checksum(header, small)}).encode().ljust(1000)
    return MAGIC + struct.pack("<Q", len(text)) + text


def _header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """Read the header of an index file; return it with the position at which arrays begin."""
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


def _write(
    path: Path, header: dict[str, Any], small: tuple[npt.NDArray[Any], ...], matrix: Matrix
) -> None:
    """Write an index file: header, small arrays, and the vectors in the order of the cells."""
    with path.open("wb") as file:
        file.write(_head(header, small))
        for each in small:
            file.write(np.ascontiguousarray(each).data)
        for part in _ordered(matrix, small[2]):
            file.write(np.ascontiguousarray(part).data)


def _ordered(matrix: Matrix, rows: npt.NDArray[np.int64]) -> Iterator[Matrix]:
    """Yield rows of a matrix in a given order, block by block."""
    for start in range(0, len(rows), BLOCK):
        yield matrix[rows[start : start + BLOCK]]
