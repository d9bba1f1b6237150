"""Find partners on the sky for a partition's galaxies, also across the partition's borders."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gzfeatures.galaxies.hats_catalogs.folder import HatsFolder
from gzfeatures.galaxies.hats_catalogs.partition import Vectors, angles

PLACES, TABLES = 12, 3
"""Least number of partitions whose positions, and whose columns, stay in memory for reuse."""
ROWS = 3_000_000
"""Rows that stay in memory even if they are in more partitions than these numbers."""


@dataclasses.dataclass(frozen=True, eq=False)
class Nearby:
    """Store the rows of a catalog that are near a partition of the sky, with their positions.

    Parameters
    ----------
    vectors : ndarray of float64
        Unit vectors, shape (n, 3).
    rows : ndarray of int
        Number of the partition, and of the row within the partition, for each catalog row, shape
        (n, 2).
    """

    vectors: Vectors
    rows: npt.NDArray[np.intp]


class Source(Protocol):
    """Define the methods of a catalog that is searched for rows near a sky position."""

    def near(self, centre: Vectors, radius: float) -> Nearby:
        """Return the catalog rows within an angle (radians) of a unit vector."""

    def take_rows(self, rows: npt.NDArray[np.intp]) -> pa.Table:
        """Return the columns of rows, each given by partition and row number; -1 gives nulls."""

    def __len__(self) -> int:
        """Return the number of rows of the catalog."""


class PartitionedSource:
    """Read those partitions of a HATS catalog that are near a sky position.

    Parameters
    ----------
    folder : HatsFolder
        The catalog.
    """

    def __init__(self, folder: HatsFolder) -> None:
        self._folder, self._partitions = folder, list(folder.files)
        circles = [partition.circle for partition in self._partitions]
        self._centres = np.array([centre for centre, _ in circles])
        self._radii = np.array([radius for _, radius in circles])
        self._total = sum(folder.count(partition) for partition in self._partitions)
        small = ROWS * len(self._partitions) // max(self._total, 1)
        self.places = lru_cache(max(PLACES, small))(self._places)
        self.table = lru_cache(max(TABLES, small))(self._table)

    def _places(self, part: int) -> Vectors:
        return self._folder.places(self._partitions[part])

    def _table(self, part: int) -> pa.Table:
        return self._folder.rows(self._partitions[part])

    def __len__(self) -> int:
        return self._total

    def near(self, centre: Vectors, radius: float) -> Nearby:
        """Return the rows of all partitions within an angle (radians) of a unit vector."""
        # skip partitions whose bounding circle is too far away to contain a row within the radius
        reached = angles(self._centres, centre) <= self._radii + radius
        vectors, rows = [np.empty((0, 3))], [np.empty((0, 2), dtype=np.intp)]
        for part in np.flatnonzero(reached).tolist():
            places = self.places(part)
            # a row without a position has angle NaN, which fails the comparison, so it is never
            # near
            within = np.flatnonzero(angles(places, centre) <= radius)
            vectors.append(places[within])
            rows.append(np.stack([np.full_like(within, part), within], axis=1))
        return Nearby(np.concatenate(vectors), np.concatenate(rows))

    def take_rows(self, rows: npt.NDArray[np.intp]) -> pa.Table:
        """Return the stored columns of these catalog rows, in the order of `rows`."""
        parts = np.unique(rows[rows[:, 0] >= 0, 0]).tolist()
        tables, starts, total = [], np.zeros(len(self._partitions), dtype=np.intp), 0
        for part in parts:
            wanted = np.unique(rows[rows[:, 0] == part, 1])
            tables.append(self.table(part).take(pa.array(wanted)))
            starts[part] = total
            total += len(wanted)
        both = pa.concat_tables(tables) if tables else self.table(0).slice(0, 0)
        place = np.zeros(len(rows), dtype=np.intp)
        for part in parts:
            mine = rows[:, 0] == part
            wanted = np.unique(rows[mine, 1])
            place[mine] = starts[part] + np.searchsorted(wanted, rows[mine, 1])
        return both.take(pa.array(place, mask=rows[:, 0] < 0))


class MemorySource:
    """Find rows near a sky position in a table that is in memory.

    Parameters
    ----------
    table : pyarrow.Table
        Columns of the catalog.
    vectors : ndarray of float64
        Sky positions as unit vectors, shape (n, 3); NaN for a row without a position.
    """

    def __init__(self, table: pa.Table, vectors: Vectors) -> None:
        self._table, self._vectors = table, vectors

    def __len__(self) -> int:
        return len(self._table)

    def near(self, centre: Vectors, radius: float) -> Nearby:
        """Return the table rows within an angle (radians) of a unit vector."""
        within = np.flatnonzero(angles(self._vectors, centre) <= radius)
        return Nearby(self._vectors[within], np.stack([np.zeros_like(within), within], axis=1))

    def take_rows(self, rows: npt.NDArray[np.intp]) -> pa.Table:
        """Return the table's rows with the given row numbers, in this order; -1 gives nulls."""
        return self._table.take(pa.array(rows[:, 1], mask=rows[:, 0] < 0))
