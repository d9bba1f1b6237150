"""Build the index file that speeds up nearest-neighbour searches in a large embedding table.

Each finished block of rows is saved, so that an interruption loses at most one block.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.explore.cells.cell_index import AMONG, CellIndex, Matrix
from gzfeatures.explore.cells.enough_cells import enough_cells
from gzfeatures.explore.cells.index_file import FORMAT, HEAD, head, sizes
from gzfeatures.explore.cells.unfinished_index import (
    CELLS,
    PLACED,
    Numbers,
    UnfinishedIndex,
    unfinished_beside,
)
from gzfeatures.explore.nearest import moved_centres, nearest_cells
from gzfeatures.explore.scan import require_lengths, scan
from gzfeatures.features.matrices import allocate
from gzfeatures.features.table import TableFile
from gzfeatures.files import file_state, put_in_place
from gzfeatures.progress import SILENT, Progress

CELL, FEWEST = 4.0, 8
"""Number of cells over the square root of the rows, and fewest cells that a search reads."""
PER_CELL, ROUNDS = 64, 8
"""Rows per cell from which the centres are computed, and how often these are moved."""
BLOCK_BYTES = 2**27
"""Bytes of the vectors in a block, whose sorting is lost if the building is interrupted."""
SAMPLE = 200
"""Galaxies on which is measured which share of the ten nearest galaxies a search finds."""


def build_index(
    table: TableFile, path: str | Path, *, seed: int = 0, progress: Progress = SILENT
) -> CellIndex:
    """Sort the rows of a table into cells of near vectors, write the index, and measure its recall.

    The table is read block by block, and never as a whole. Finished steps are kept in a folder
    beside the index file (`.NAME.building`): after an interruption, also a sudden one, the same
    call continues with them, and writes the same bytes. An unfinished index of another table, or of
    an earlier version of this table, is removed.

    Parameters
    ----------
    table : TableFile
        Galaxies, at least two.
    path : str or Path
        Index file; it needs as much disk as the vectors do in single precision.
    seed : int
        Seed of the cells, and of the galaxies on which the recall is measured.
    progress : Progress
        Shows the steps; by default nowhere.

    Raises
    ------
    InputError
        The table has fewer than two galaxies, or vectors too long to be compared, or it changes
        while it is read.
    OutputError
        The place cannot be written, or another process builds this index; an existing file is left
        as it was.
    """
    if len(table) < 2:
        raise InputError(
            "galaxies of an index", where=table.path, rule="be at least 2", found=len(table)
        )
    before = file_state(table.path)
    with progress.busy("reading ids and digest of the table"):
        # refuse repeated ids now: otherwise a search refuses them, after hours of building
        table.id_column()
        digest = fingerprint.of_file(table.path)
    plan = _plan(len(table), table.extractor.dim, digest, seed)
    with unfinished_beside(Path(path), plan) as state:
        building = _Building(table, state, before, progress)
        state.begin(HEAD + sum(sizes(plan["rows"], plan["dim"], plan["cells"])), progress)
        centres = building.centres()
        cells = building.cells(centres)
        building.write(centres, cells, digest)
        building.require_unchanged()
        put_in_place(state.index, Path(path))
    return CellIndex(path, table, digest)


def _plan(rows: int, dim: int, digest: str, seed: int) -> dict[str, Any]:
    """Return all settings and versions on which the bytes of an index depend, as JSON values."""
    count = int(np.clip(CELL * np.sqrt(rows), 1, max(1, rows // 40)))
    return {
        "format": FORMAT,
        "table": digest,
        "rows": rows,
        "dim": dim,
        "cells": count,
        "seed": seed,
        "rounds": ROUNDS,
        "per_cell": PER_CELL,
        "block": max(1, BLOCK_BYTES // (4 * dim)),
        "faiss": importlib.metadata.version("faiss-cpu"),
    }


@dataclasses.dataclass(frozen=True)
class _Building:
    """Build an index: do the steps that an earlier, interrupted call has not finished.

    Parameters
    ----------
    table : TableFile
        Table to index.
    state : UnfinishedIndex
        Finished steps.
    before : list of int
        Size and time of the table's file when its sha256 was computed.
    progress : Progress
        Shows the steps.
    """

    table: TableFile
    state: UnfinishedIndex
    before: list[int] | None
    progress: Progress

    def require_unchanged(self) -> None:
        """Refuse the table if its file was changed after its sha256 was computed."""
        if file_state(self.table.path) != self.before:
            raise InputError(
                "table was changed while its index was built",
                where=self.table.path,
                rule="stay as it is until the index is written",
                remedy="build the index again",
            )

    def centres(self) -> Matrix:
        """Compute the centres of the cells, shape (cells, dim), from a sample of rows (k-means)."""
        plan = self.state.plan
        rounds, centres = self.state.centres()
        if rounds == plan["rounds"]:
            return centres
        # delete the saved cell numbers of rows, and the checksums of vectors already written in the
        # order of cells: both are wrong after the centres move
        self.state.drop(CELLS, PLACED)
        sample = self._sample()
        with self.progress.counted("centres of cells", plan["rounds"], done=rounds) as advance:
            for number in range(rounds, plan["rounds"]):
                centres = moved_centres(sample, plan["cells"], centres, seed=plan["seed"] + 1)
                self.require_unchanged()
                self.state.keep_centres(number + 1, centres)
                advance()
        return centres

    def _sample(self) -> Matrix:
        """Return vectors of random rows; refuse a table with NaN, infinity or too large norms."""
        plan = self.state.plan
        rows, count = plan["rows"], min(plan["rows"], PER_CELL * plan["cells"])
        drawn = np.zeros(rows, dtype=bool)
        drawn[np.random.default_rng(plan["seed"]).permutation(rows)[:count]] = True
        sample, filled = allocate(count, plan["dim"]), 0
        title = "reading vectors"
        with self.progress.counted(title, rows, unit="galaxies", transient=True) as advance:
            for start, block in self._blocks(0):
                require_lengths(block, start)
                part = block[drawn[start : start + len(block)]]
                sample[filled : filled + len(part)] = part
                filled += len(part)
                advance(len(block))
        return sample

    def cells(self, centres: Matrix) -> Numbers:
        """Return the cell of each row: the number of the nearest centre, shape (rows,)."""
        rows, known = self.state.plan["rows"], self.state.cells()
        cells = np.empty(rows, dtype=np.uint32)
        done = len(known)
        cells[:done] = known
        if done == rows:
            return cells
        self.state.drop(PLACED)
        title = "cells of galaxies"
        with self.progress.counted(title, rows, unit="galaxies", done=done) as advance:
            for start, block in self._blocks(done):
                found = nearest_cells(block, centres).astype(np.uint32)
                self.require_unchanged()
                self.state.add_cells(found)
                cells[start : start + len(block)] = found
                advance(len(block))
        return cells

    def write(self, centres: Matrix, cells: Numbers, digest: str) -> None:
        """Write vectors, small arrays and header of the index, and measure its recall."""
        plan = self.state.plan
        rows = np.argsort(cells, kind="stable").astype(np.int64)
        starts = np.concatenate([[0], np.cumsum(np.bincount(cells, minlength=plan["cells"]))])
        sums = self._place(cells, starts.astype(np.int64))
        small = (centres, starts.astype(np.int64), rows, sums)
        header = {key: plan[key] for key in ("format", "table", "rows", "dim", "cells")}
        header |= {"probes": min(FEWEST, plan["cells"]), "recall": 0.0}
        with self.state.index.open("r+b") as file:
            file.write(head(header, small))
            for each in small:
                file.write(np.ascontiguousarray(each).data)
        with self.progress.busy("measuring which share of neighbours the cells hold"):
            # the recall is measured by searches in the written file, so write its header twice:
            # before and after the measurement
            written = CellIndex(self.state.index, self.table, digest)
            header |= _measured(written, self.table, plan["seed"])
        with self.state.index.open("r+b") as file:
            file.write(head(header, small))

    def _place(self, cells: Numbers, starts: npt.NDArray[np.int64]) -> Numbers:
        """Write each vector at its place in the order of cells; return the crc32 of each cell."""
        plan = self.state.plan
        blocks, sums = self.state.placed()
        done = min(blocks * plan["block"], plan["rows"])
        ends = starts[:-1] + np.bincount(cells[:done], minlength=plan["cells"])
        offset = HEAD + sum(sizes(plan["rows"], plan["dim"], plan["cells"])[:-1])
        title = "galaxies put in order"
        with (
            self.state.index.open("r+b", buffering=0) as file,
            self.progress.counted(title, plan["rows"], unit="galaxies", done=done) as advance,
        ):
            for start, block in self._blocks(done):
                mine = cells[start : start + len(block)]
                order = np.argsort(mine, kind="stable")
                first = np.flatnonzero(np.diff(mine[order], prepend=-1))
                for run in np.split(order, first[1:]):
                    cell = mine[run[0]]
                    vectors = block[run]
                    file.seek(offset + int(ends[cell]) * 4 * plan["dim"])
                    file.write(vectors.data)
                    sums[cell] = zlib.crc32(vectors.data, int(sums[cell]))
                    ends[cell] += len(run)
                # wait until the vectors are on disk, and only then note it, in case of a crash
                os.fsync(file.fileno())
                self.require_unchanged()
                self.state.add_placed(sums)
                advance(len(block))
        return sums

    def _blocks(self, first: int) -> Iterator[tuple[int, Matrix]]:
        """Yield the first row and the vectors of each block, beginning at the row `first`.

        Earlier rows are read and skipped, because a table may have all rows in one row group, which
        can be read only from its beginning.
        """
        rows, size = self.state.plan["rows"], self.state.plan["block"]
        if first >= rows:
            return
        block, filled, start, read = allocate(min(size, rows), self.state.plan["dim"]), 0, first, 0
        for matrix in self.table.matrices():
            fresh = matrix[max(0, first - read) :]
            read += len(matrix)
            while len(fresh):
                part = fresh[: len(block) - filled]
                block[filled : filled + len(part)] = part
                filled, fresh = filled + len(part), fresh[len(part) :]
                if filled == len(block) or start + filled == rows:
                    yield start, block[:filled]
                    start, filled = start + filled, 0
        if read != rows:
            raise InputError(
                "table is damaged", where=self.table.path, rule=f"have {rows} rows", found=read
            )


def _measured(index: CellIndex, table: TableFile, seed: int) -> dict[str, Any]:
    """Double the number of cells that a search reads, until it finds enough nearest galaxies."""
    k = min(AMONG, len(table) - 1)
    sample = np.sort(np.random.default_rng(seed).permutation(len(table))[:SAMPLE])
    queries = table.vectors_of(sample)
    _, truth = scan(table.matrices(), queries, k, own=sample)
    probes, recall = enough_cells(
        index.probes,
        index.cells,
        truth,
        lambda probes: index.nearest(queries, k, sample, probes)[1],
    )
    return {"probes": probes, "recall": recall}
