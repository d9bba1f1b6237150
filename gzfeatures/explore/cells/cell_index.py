"""Search a table through its index file: vectors sorted by cells, of which a search reads a few."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.brief import quote
from gzfeatures.errors import InputError, parsing, require_format
from gzfeatures.explore.cells.index_file import (
    FORMAT,
    NUMBERS,
    checksum,
    layout,
    read_header,
    sizes,
)
from gzfeatures.explore.scan import squared_distances
from gzfeatures.features.table import EmbeddingTable, TableFile
from gzfeatures.files import require_file

Matrix = npt.NDArray[np.float32]
AMONG = 10
"""Number of neighbours for which the recall of a search is measured."""
WIDER = 4
"""Rows that are searched in addition, for each neighbour beyond `AMONG`."""
UNREADABLE, AGAIN = "not a readable index", "build it with 'gzfeatures table index'"


class CellIndex:
    """Search an embedding table by its index file: read only a few cells (groups of near vectors).

    The file contains only numbers, and nothing in it is executed. The sizes in its header are
    compared with the size of the file before memory is allocated.

    Parameters
    ----------
    path : str or Path
        Index file that `index_building.build_index` wrote.
    table : TableFile
        Table from which the index was built.
    digest : str, optional
        Sha256 of the table's file, if the caller knows it; by default it is computed.

    Attributes
    ----------
    cells, probes : int
        Number of cells, and number of cells that a search reads.
    recall : float
        Share of the ten nearest galaxies that a search finds, as measured when the index was
        built, in [0, 1].

    Raises
    ------
    MissingFileError, InputError
        No such file; it is no index, is damaged, or belongs to another table or to an earlier
        version of this table.
    """

    def __init__(self, path: str | Path, table: TableFile, digest: str | None = None) -> None:
        self.path = require_file(path, "index")
        with parsing(UNREADABLE, self.path, remedy=AGAIN), self.path.open("rb") as file:
            header, offset = read_header(file)
            require_format("index", header["format"], FORMAT, self.path)
            self.cells, self.probes, rows, dim = (header[name] for name in NUMBERS)
            self.recall = header["recall"]
            if not (1 <= self.cells <= rows and 1 <= self.probes <= self.cells and dim >= 1):
                raise ValueError("numbers of cells and rows do not agree")
            arrays = self._mapped(offset, rows, dim)
        self._require_table(header, table, digest)
        self.centres, self._starts, self._rows, self._sums, self._vectors = arrays
        if header["sha256"] != checksum(header, arrays[:4]) or not self._consistent():
            raise self._damaged("tables of cells")

    def __len__(self) -> int:
        """Return the number of rows of the table."""
        return len(self._rows)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Return the number of rows of each cell, shape (cells,)."""
        return np.diff(self._starts)

    def members(self, cell: int) -> npt.NDArray[np.int64]:
        """Return the rows of a cell, ascending."""
        return np.asarray(self._rows[self._starts[cell] : self._starts[cell + 1]])

    def cells_of_rows(self) -> npt.NDArray[np.int64]:
        """Return the cell of each row of the table, shape (rows,)."""
        cells = np.empty(len(self), dtype=np.int64)
        cells[self._rows] = np.repeat(np.arange(self.cells), self.sizes)
        return cells

    def _consistent(self) -> bool:
        """Return whether the cells have each row of the table once, and the centres are finite."""
        rows, starts = self._rows, self._starts
        if starts[0] or starts[-1] != len(rows) or (np.diff(starts) < 0).any():
            return False
        if rows.min() < 0 or rows.max() >= len(rows) or not np.isfinite(self.centres).all():
            return False
        return bool((np.bincount(rows, minlength=len(rows)) == 1).all())

    def _mapped(self, offset: int, rows: int, dim: int) -> list[npt.NDArray[Any]]:
        """Map the arrays of the file to memory, after checking their sizes by the file's size."""
        lengths = sizes(rows, dim, self.cells)
        if offset + sum(lengths) != self.path.stat().st_size:
            raise ValueError(f"file has {self.path.stat().st_size} bytes")
        arrays: list[npt.NDArray[Any]] = []
        parts = layout(rows, dim, self.cells).values()
        for size, (kind, shape) in zip(lengths, parts, strict=True):
            arrays.append(np.memmap(self.path, kind, "r", offset, shape))
            offset += size
        return arrays

    def _require_table(self, header: dict[str, Any], table: TableFile, digest: str | None) -> None:
        """Refuse a table file whose bytes differ from those from which the index was built."""
        same = (header["rows"], header["dim"]) == (len(table), table.extractor.dim)
        # compare numbers of rows and columns first: if these differ, the table need not be read
        if not same or header["table"] != (digest or fingerprint.of_file(table.path)):
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
            Row of each query, shape (m,), which is left out of the query's neighbours.
        probes : int, optional
            Number of cells to read; by default the number with which the recall was measured, and
            more for more than ten neighbours.

        Returns
        -------
        rows : ndarray of int64
            Shape (m, k), nearest first; among equal distances, the earlier row is first.
        distances : ndarray of float64
            Shape (m, k), euclidean.

        Raises
        ------
        InputError
            A cell of the file is damaged.
        """
        rows, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
        # `self.probes` cells suffice for ten neighbours; read more cells for more neighbours
        wider = -(-WIDER * max(0, k - AMONG) * self.cells // len(self._rows))
        for number, query in enumerate(queries):
            chosen = self._near_cells(query, k, probes or self.probes + wider)
            members = np.concatenate([self.members(cell) for cell in chosen])
            far = np.concatenate([squared_distances(self._cell(cell), query) for cell in chosen])
            # the galaxy itself is among its neighbours, so leave it out
            far[members == own[number]] = np.inf
            order = np.lexsort((members, far))[:k]
            rows[number], distances[number] = members[order], np.sqrt(far[order])
            if not np.isfinite(distances[number]).all():
                raise self._damaged("vectors that are not finite")
        return rows, distances

    def _near_cells(self, query: Matrix, k: int, probes: int) -> npt.NDArray[np.intp]:
        """Return the cells nearest to a query: `probes` cells, or more if k rows need more."""
        difference = self.centres - query
        order = np.argsort(np.einsum("ij,ij->i", difference, difference), kind="stable")
        sizes = np.cumsum(self.sizes[order])
        enough = int(np.searchsorted(sizes, k + 1)) + 1
        chosen = order[: max(probes, enough)]
        return chosen[self.sizes[chosen] > 0]

    def _cell(self, cell: int) -> Matrix:
        """Return the vectors of a cell, shape (r, dim); refuse them if their checksum is wrong."""
        vectors = self._vectors[self._starts[cell] : self._starts[cell + 1]]
        if zlib.crc32(vectors.data) != self._sums[cell]:
            raise self._damaged(f"cell {cell}")
        return np.asarray(vectors)


def read_with_index(
    table: TableFile, index: str | Path | None
) -> tuple[EmbeddingTable, CellIndex | None]:
    """Read a whole table; open its index too, if one is given, before the table is read.

    Parameters
    ----------
    table : TableFile
        The table.
    index : str or Path, optional
        Index file of this table.

    Raises
    ------
    MissingFileError, InputError
        As `CellIndex` and `TableFile.having`.
    """
    cells = None if index is None else CellIndex(index, table)
    return table.having(None), cells
