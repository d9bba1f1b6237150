"""Repair an embedding table whose metadata another program removed from the Parquet file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gzfeatures.errors import InputError, parsing
from gzfeatures.features.exchange.vector_columns import foreign_vectors
from gzfeatures.features.exchange.vector_files import arrow_columns
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.table_writer import COLUMNS, PICTURES
from gzfeatures.files import require_file
from gzfeatures.ids import Ids, among, positions
from gzfeatures.images.picture_hash import BYTES
from gzfeatures.tablefiles.parquet_size import read_parquet_file
from gzfeatures.tablefiles.raw_table import storage

COMPARED = 64
"""Number of rows whose vectors are compared with those of a known extractor."""


@dataclasses.dataclass(frozen=True, eq=False)
class Repaired:
    """Hold a repaired table, and how its extractor (network, layer, crop) was recognised.

    Parameters
    ----------
    table : EmbeddingTable
    evidence : str
        What was compared, in a few words.
    left_out : tuple of str
        Columns that are no part of an embedding table.
    """

    table: EmbeddingTable
    evidence: str
    left_out: tuple[str, ...]


def repair_table(path: Path, known_by: Path | Store) -> Repaired:
    """Return an embedding table from a Parquet file that lost its metadata, not its columns.

    Programs such as polars, DuckDB and pandas may drop the metadata, rename types and add columns.
    The extractor is not guessed: it is taken from another table, or from the store, that has
    exactly the same vectors for some of the images.

    Parameters
    ----------
    path : Path
        Parquet with the columns of an embedding table, in any order.
    known_by : Path or Store
        An intact table of the same extractor with some of the same galaxies; or the store of
        embeddings, in which the extractor is searched.

    Raises
    ------
    MissingFileError, InputError
        No such file, or it lacks a column; no table or store has the same vectors; the vectors
        were changed.
    """
    file = require_file(path, "table to repair")
    with parsing("not a readable Parquet file", file):
        columns = arrow_columns(read_parquet_file(file))
    lacking = [name for name in COLUMNS if name not in columns]
    if lacking:
        raise InputError(
            "no embedding table",
            where=file,
            rule=f"have columns {', '.join(COLUMNS)}",
            found=", ".join(list(columns)[:12]),
            remedy="'gzfeatures table import' takes vectors of any table",
        )
    with parsing("table cannot be repaired", file):
        vectors = foreign_vectors(columns, file, *(COLUMNS[0], COLUMNS[2]))
        digests = np.array(storage(columns[COLUMNS[1]]).to_pylist(), dtype=object)
        bad = [
            name
            for name, digest in zip(vectors.ids, digests, strict=True)
            if not (isinstance(digest, str) and len(digest) == 64)
        ]
        if bad:
            raise InputError("image_sha256", where=f"{file}, galaxy {bad[0]}", rule="be a digest")
        known, evidence = (
            _of_store(digests, vectors.matrix, known_by, file)
            if isinstance(known_by, Store)
            else _of_table(vectors.ids, digests, vectors.matrix, known_by, file)
        )
        kept = PICTURES in columns
        hashes = _hashes(columns[PICTURES]) if kept else None
        table = dataclasses.replace(
            known,
            ids=vectors.ids,
            digests=digests,
            matrix=vectors.matrix,
            pictures=hashes,
            skipped=(),
            nothing_shown=tuple(
                pair for pair in known.nothing_shown if pair[0] in set(vectors.ids)
            ),
        )
    others = tuple(name for name in columns if name not in (*COLUMNS, PICTURES))
    return Repaired(table, evidence, others)


def _of_table(
    ids: Ids, digests: Ids, matrix: np.ndarray, like: Path, path: Path
) -> tuple[EmbeddingTable, str]:
    """Return rows of the intact table `like`; refuse if a galaxy in both has different vectors.

    Also return a sentence that says what was compared.
    """
    other = EmbeddingTable.open(like).having(ids)
    shared = np.flatnonzero(among(ids, other.ids))
    rows = positions(other.ids, ids[shared], where=like)
    same = (digests[shared] == other.digests[rows]) & (
        other.matrix.shape[1] == matrix.shape[1] and (other.matrix[rows] == matrix[shared]).all(1)
    )
    if not len(shared) or not same.all():
        raise InputError(
            "table is not of the same extractor" if len(shared) else "tables share no galaxy",
            where=path,
            rule=f"have the vectors that {like} has of the galaxies in both",
            found=f"{int(np.sum(same))} of {len(shared)} equal",
        )
    return other, f"{len(shared)} galaxies have the same vectors in {like}"


def _of_store(
    digests: Ids, matrix: np.ndarray, store: Store, path: Path
) -> tuple[EmbeddingTable, str]:
    """Find the extractor (network, layer, crop) whose stored embeddings equal a table's vectors.

    Return an empty table of this extractor, and a sentence that says what was compared.
    """
    for extractor in _extractors(store, matrix.shape[1]):
        cache = store.vectors_of(extractor)
        rows = np.flatnonzero(cache.has(digests))[:COMPARED]
        if len(rows) and np.array_equal(cache.vectors(digests[rows]), matrix[rows]):
            empty = np.empty(0, dtype=object)
            none = np.empty((0, extractor.dim), dtype=np.float32)
            table = EmbeddingTable(empty, empty, none, extractor)
            return table, f"{len(rows)} images have the same vectors in the store"
    raise InputError(
        "no extractor of the store has these vectors",
        where=path,
        remedy="give a whole table of the same extractor with --like TABLE",
    )


def _extractors(store: Store, dim: int) -> Iterator[Extractor]:
    """Yield the extractors (network, layer, crop) of stored embeddings with `dim` numbers each."""
    for entry in store.show():
        if entry.extractor.dim == dim:
            yield entry.extractor


def _hashes(column: object) -> np.ndarray:
    """Return the picture hash of each row of a table, shape (n, 64), zeros if it is missing."""
    cells = [cell or bytes(2 * BYTES) for cell in storage(column).to_pylist()]
    if any(len(cell) != 2 * BYTES for cell in cells):
        raise InputError(f"column {PICTURES}", rule=f"hold {2 * BYTES} bytes")
    return np.frombuffer(b"".join(cells), dtype=np.uint8).reshape(len(cells), -1)
