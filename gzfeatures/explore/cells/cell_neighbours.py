"""Find the nearest rows of every row of a table, by comparing the rows of cells near each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.explore.cells.cell_index import CellIndex, Matrix
from gzfeatures.explore.cells.enough_cells import enough_cells
from gzfeatures.explore.nearest import Nearest, nearest_candidates, require_neighbours
from gzfeatures.explore.scan import scan
from gzfeatures.features.matrices import BLOCK
from gzfeatures.progress import SILENT, Progress

FEWEST = 8
"""Fewest cells with whose rows those of a cell are compared."""
SAMPLE = 500
"""Rows on which is measured which share of the nearest rows the cells hold."""
SPARE = 20
"""Candidates beyond those asked for, from which exact distances choose."""
FEW = 512
"""Cells whose distances to all cells are sorted at once."""
DEAR = 20_000
"""Rows compared with each row from which on a graph takes less time."""


def by_cells(
    index: CellIndex, vectors: Matrix, k: int, *, seed: int = 0, progress: Progress = SILENT
) -> Nearest:
    """Find the k nearest rows of every row of a table among the rows of the nearest cells.

    The rows of a cell are compared with those of the cells whose centres are nearest to its own.
    How many cells these are is measured: they are doubled until 98.5 % of the nearest rows of 500
    galaxies are found.

    Parameters
    ----------
    index : CellIndex
        Index of the table.
    vectors : ndarray of float32
        Rows of that table as they are to be compared, for example along principal components; shape
        (n, d), finite.
    k : int
        Neighbours per row, fewer than there are rows.
    seed : int
        Of the measured galaxies.
    progress : Progress
        Where the steps are told; nowhere by default.

    Returns
    -------
    Nearest
        With the recall that was measured.

    Raises
    ------
    InputError
        The index has another number of rows, or there are fewer rows than neighbours.
    """
    if len(vectors) != len(index):
        raise InputError(
            "index", where=index.path, rule=f"have {len(vectors)} rows", found=len(index)
        )
    require_neighbours(k, len(vectors), own=True)
    order = _cells_by_distance(index)
    with progress.busy("measuring with how many cells each is compared"):
        count, recall = _measured(index, vectors, k, order, seed)
    compared = int(count * len(vectors) / index.cells)
    if compared > DEAR:
        progress.say(
            f"the nearest galaxies lie in {count} of {index.cells} cells, so each is compared with "
            f"{compared:,} others: the index saves no time here, and without it a graph is used"
        )
    rows = np.empty((len(vectors), k), dtype=np.int64)
    distances = np.empty((len(vectors), k), dtype=np.float32)
    title = "comparing near cells"
    with progress.counted(title, len(vectors), unit="galaxies", transient=True) as advance:
        for cell in range(index.cells):
            mine = index.members(cell)
            near = _of_cell(index, vectors, mine, order[cell], count, k)
            rows[mine], distances[mine] = near.rows, near.distances
            advance(len(mine))
    return Nearest(rows, distances, recall)


def _cells_by_distance(index: CellIndex) -> npt.NDArray[np.int32]:
    """Return for each cell all cells by the distance of their centres, shape (cells, cells)."""
    centres = np.asarray(index.centres)
    order = np.empty((index.cells, index.cells), dtype=np.int32)
    lengths = np.einsum("ij,ij->i", centres, centres)
    for start in range(0, index.cells, FEW):
        part = slice(start, start + FEW)
        order[part] = np.argsort(lengths - 2 * centres[part] @ centres.T, axis=1, kind="stable")
    return order


def _measured(
    index: CellIndex, vectors: Matrix, k: int, order: npt.NDArray[np.int32], seed: int
) -> tuple[int, float]:
    """Return how many near cells to search for nearly all nearest rows, and the share found.

    The number is doubled until these cells hold 98.5 % of the nearest rows of 500 galaxies.
    """
    sample = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:SAMPLE])
    blocks = (vectors[start : start + BLOCK] for start in range(0, len(vectors), BLOCK))
    _, truth = scan(blocks, vectors[sample], k, own=sample)
    place = index.cells_of_rows()[sample]

    def found_in(count: int) -> npt.NDArray[np.float64]:
        found = np.empty(truth.shape)
        for cell in np.unique(place):
            here = np.flatnonzero(place == cell)
            near = _of_cell(index, vectors, sample[here], order[cell], count, k)
            found[here] = near.distances
        return found

    return enough_cells(min(FEWEST, index.cells), index.cells, truth, found_in)


def _of_cell(
    index: CellIndex,
    vectors: Matrix,
    asked: npt.NDArray[np.int64],
    order: npt.NDArray[np.int32],
    count: int,
    k: int,
) -> Nearest:
    """Find the k nearest rows of each row in `asked`, all of one cell, in the nearest cells.

    `order` lists all cells by the distance of their centres, the rows' own cell first. The first
    `count` cells are searched, or more if these have too few rows.
    """
    import faiss

    sizes = np.cumsum(index.sizes[order])
    # the first cells may together hold fewer rows than are asked for
    enough = int(np.searchsorted(sizes, k + 1)) + 1
    chosen = order[: max(count, enough)]
    # sort, so that of equal distances the earlier row is chosen
    rows = np.sort(np.concatenate([index.members(cell) for cell in chosen]))
    reference = vectors[rows]
    # |x − y|² = |x|² + |y|² − 2 x·y loses digits if the rows lie far from the origin, so subtract
    # their mean
    centre = reference.mean(0, dtype=np.float64).astype(np.float32)
    moved = reference - centre
    parts = []
    for start in range(0, len(asked), BLOCK):
        part = asked[start : start + BLOCK]
        queries = vectors[part]
        candidates = faiss.knn(queries - centre, moved, min(len(rows), k + 1 + SPARE))[1]
        own = np.searchsorted(rows, part)
        parts.append(nearest_candidates(reference, queries, candidates, k, own))
    if not parts:
        return Nearest(np.empty((0, k), np.int64), np.empty((0, k), np.float32))
    near = np.concatenate([part.rows for part in parts])
    return Nearest(rows[near], np.concatenate([part.distances for part in parts]))
