"""Find the galaxies whose embeddings are nearest to those of given galaxies."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.explore.cells.cell_index import CellIndex
from gzfeatures.explore.cells.cell_neighbours import by_cells
from gzfeatures.explore.nearest import Nearest as Nearest
from gzfeatures.explore.nearest import by_every_distance, by_graph, require_neighbours
from gzfeatures.explore.scan import scan
from gzfeatures.features.matrices import BLOCK
from gzfeatures.features.table import EmbeddingTable, TableFile
from gzfeatures.ids import as_ids, positions, positions_in
from gzfeatures.progress import SILENT, Progress

EXACT_UP_TO = 20_000
"""Most rows for which every distance is computed; above, a graph gives a measured recall."""
RECALL_SAMPLE = 500


def nearest(
    reference: npt.NDArray[np.float32],
    queries: npt.NDArray[np.float32] | None,
    k: int,
    *,
    own: npt.NDArray[np.intp] | None = None,
    exact_up_to: int = EXACT_UP_TO,
    cells: CellIndex | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Nearest:
    """Find the k nearest reference rows of each query vector, with all processor cores.

    Parameters
    ----------
    reference : ndarray of float32
        Shape (n, d), finite.
    queries : ndarray of float32, optional
        Shape (m, d). None asks for the neighbours of all reference rows.
    k : int
        Neighbours per query.
    own : ndarray of int, optional
        Reference row of each query, shape (m,), which is left out of the query's neighbours; exact
        copies in other rows are not left out.
    exact_up_to : int
        Number of reference rows up to which all distances are computed; for more rows, neighbours
        are found along a graph (`nearest.by_graph`), and the recall is measured on 500 queries.
    cells : CellIndex, optional
        Index of the table that the reference rows are of. If the queries are all rows, the rows of
        near cells are compared in place of all rows or a graph (`cell_neighbours.by_cells`).
    seed : int
        Seed of the sample on which the recall is measured.
    progress : Progress
        Shows the steps of the search along a graph; by default nowhere.

    Raises
    ------
    InputError
        `reference` has fewer rows than neighbours are wanted.
    """
    if queries is None and cells is not None:
        return by_cells(cells, reference, k, seed=seed, progress=progress)
    if queries is None:
        queries, own = reference, np.arange(len(reference))
    require_neighbours(k, len(reference), own=own is not None)
    if len(reference) <= exact_up_to:
        return by_every_distance(reference, queries, k, own)
    near = by_graph(reference, queries, k, own, progress)
    # the graph search may miss neighbours: search exactly for a sample of queries, to measure the
    # share of neighbours found (recall)
    sample = np.random.default_rng(seed).permutation(len(queries))[:RECALL_SAMPLE]
    blocks = (reference[start : start + BLOCK] for start in range(0, len(reference), BLOCK))
    truth, _ = scan(blocks, queries[sample], k, own=None if own is None else own[sample])
    hits = [len(np.intersect1d(a, b)) for a, b in zip(near.rows[sample], truth, strict=True)]
    return dataclasses.replace(near, recall=float(np.mean(hits) / k))


def similar(
    table: EmbeddingTable | TableFile,
    ids: Sequence[str],
    k: int = 10,
    *,
    metric: str = "euclidean",
    index: str | Path | None = None,
) -> pd.DataFrame:
    """Return, for each given galaxy id, the k galaxies with the nearest embeddings.

    All distances are computed, unless an index is given. A table on disk is read once, block by
    block, and not stored in memory.

    Parameters
    ----------
    table : EmbeddingTable or TableFile
        Galaxies to search.
    ids : sequence of str
        Galaxies of the table whose neighbours are wanted.
    k : int
        Number of neighbours of each galaxy.
    metric : {"euclidean", "cosine"}
        How embeddings are compared.
    index : str or Path, optional
        Index file of a table on disk (see `cell_index`), of which a few cells are read instead of
        the whole table.

    Returns
    -------
    DataFrame
        Columns `galaxy_id` (the neighbour), `query` (the given galaxy), `rank` (1 is nearest),
        `distance`; attribute `recall`, the share of true neighbours found: 1 without an index.

    Raises
    ------
    InputError
        An id is not in the table, there are fewer galaxies than neighbours, a value of the
        table is not finite, or the index is of another table, another metric or damaged.
    """
    if index is not None and (metric != "euclidean" or isinstance(table, EmbeddingTable)):
        raise InputError(
            "index",
            where=index,
            rule="be used with a table on disk and the euclidean metric",
            found=metric if metric != "euclidean" else "a table in memory",
        )
    recall = 1.0
    wanted = as_ids(list(ids))
    require_neighbours(k, len(table), own=True)
    if isinstance(table, EmbeddingTable):
        rows = positions(table.ids, wanted, where="embedding table")
        matrix, queries = table.matrix, table.matrix[rows]
        blocks = (matrix[start : start + BLOCK] for start in range(0, len(matrix), BLOCK))
        found, distances = scan(blocks, queries, k, own=rows, metric=metric)
        names = table.ids[found.ravel()]
    else:
        column = table.id_column()
        rows = positions_in(column, wanted, where="embedding table")
        queries = table.vectors_of(rows)
        if index is None:
            found, distances = scan(table.matrices(), queries, k, own=rows, metric=metric)
        else:
            cells = CellIndex(index, table)
            recall = cells.recall
            found, distances = cells.nearest(queries, k, rows)
        names = np.asarray(column.take(found.ravel()).to_pylist(), dtype=object)
    frame = pd.DataFrame(
        {
            "galaxy_id": names,
            "query": np.repeat(wanted, k),
            "rank": np.tile(np.arange(1, k + 1), len(wanted)),
            "distance": distances.ravel().astype(np.float32),
        }
    )
    frame.attrs["recall"] = recall
    return frame
