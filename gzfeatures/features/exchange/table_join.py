"""Join embedding tables of equal settings (network, layer, crop); select galaxies of a table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from gzfeatures.errors import InputError
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.trained_on import Pictures, TrainedOn
from gzfeatures.ids import Ids, among, positions, require_unique
from gzfeatures.images.picture_hash import BYTES


def joined_rows(tables: list[EmbeddingTable]) -> EmbeddingTable:
    """Return one table with the galaxies of several tables, in the order of the tables.

    A galaxy of several tables is kept once; its vector and image must be the same in all of them.
    If any table knows which galaxies its network was trained on, so does the joined table.

    Raises
    ------
    InputError
        The tables differ in extractor, kind of catalog or crop; or a galaxy has two vectors.
    """
    first = tables[0]
    for table in tables[1:]:
        if table.extractor.fingerprint != first.extractor.fingerprint:
            raise InputError(
                "tables of different extractors cannot be joined row by row",
                rule=f"be of {first.extractor.backbone}, as the first",
                found=table.extractor.backbone,
                remedy="heads read several tables side by side: fit TABLE --with OTHER",
            )
        if (table.kind, table.framing) != (first.kind, first.framing):
            raise InputError(
                "tables of different catalogs cannot be joined",
                rule=f"be of kind {first.kind or 'unknown'}, framed alike",
                found=table.kind or "unknown",
            )
    extractor = dataclasses.replace(first.extractor, trained_on=_training_record(tables))
    joined = dataclasses.replace(first, extractor=extractor)
    for table in tables[1:]:
        joined = _appended(joined, table)
    return joined


def _training_record(tables: list[EmbeddingTable]) -> str | None:
    """Return all training galaxies that tables of one network know, as text; None if none does."""
    # equal fingerprints mean equal weights, so what one table knows of its network is true of all
    known = [table.extractor.trained_on for table in tables]
    texts = list(dict.fromkeys(text for text in known if text is not None))
    if len(texts) > 1:
        return TrainedOn.joined(texts).encode()
    return texts[0] if texts else None


def _appended(table: EmbeddingTable, other: EmbeddingTable) -> EmbeddingTable:
    """Return a table with the galaxies of a second table appended, without repetitions."""
    again = among(other.ids, table.ids)
    rows = positions(table.ids, other.ids[again], where="embedding table")
    differ = (table.matrix[rows] != other.matrix[again]).any(1) | (
        table.digests[rows] != other.digests[again]
    )
    if differ.any():
        raise InputError(
            f"{int(differ.sum())} galaxies have two vectors",
            rule="have the same vector and image in every table",
            found=other.ids[again][differ][0],
            remedy="leave them out with 'gzfeatures table slice'",
        )
    new = ~again
    pictures = None
    if table.pictures is not None or other.pictures is not None:
        first, second = _pictures(table), _pictures(other)
        # equal images have equal hashes, so either table may know them
        first[rows] |= second[again]
        pictures = np.concatenate([first, second[new]])
    ids = np.concatenate([table.ids, other.ids[new]])
    present = set(ids)
    skipped = dict([*table.skipped, *other.skipped])
    return dataclasses.replace(
        table,
        ids=ids,
        digests=np.concatenate([table.digests, other.digests[new]]),
        matrix=np.concatenate([table.matrix, other.matrix[new]]),
        skipped=tuple((name, why) for name, why in skipped.items() if name not in present),
        pictures=pictures,
        nothing_shown=tuple(dict([*table.nothing_shown, *other.nothing_shown]).items()),
    )


def _pictures(table: EmbeddingTable) -> Pictures:
    """Return a copy of a table's picture hashes, shape (n, 64); zeros where they are not known."""
    if table.pictures is None:
        return np.zeros((len(table), 2 * BYTES), dtype=np.uint8)
    return table.pictures.copy()


def read_joined(paths: list[Path]) -> EmbeddingTable:
    """Read several embedding tables that were made with equal settings, and join their rows."""
    if len(paths) < 2:
        raise InputError("tables to join", rule="be at least two", found=len(paths))
    return joined_rows([EmbeddingTable.read(path) for path in paths])


def sliced(path: Path, ids: Ids, on_missing: str = "raise") -> EmbeddingTable:
    """Return the rows of an embedding table for the given galaxies, in the table's order.

    The galaxies without a vector, each with the reason, are those of the given galaxies.

    Parameters
    ----------
    path : Path
        Embedding table.
    ids : Ids
        Galaxies to keep, each once.
    on_missing : {"raise", "skip"}
        For a galaxy that is not in the table: raise an error, or leave it out.

    Raises
    ------
    MissingFileError, InputError
        No such table; an id repeats; a galaxy, or every galaxy, is not in the table.
    """
    require_unique(ids, where="ids to keep")
    table = EmbeddingTable.open(path).having(ids)
    lacking = ids[~among(ids, table.ids)]
    if len(lacking) and (on_missing == "raise" or not len(table)):
        raise InputError(
            f"{len(lacking)} of {len(ids)} galaxies are not in the table",
            where=path,
            found=", ".join(lacking[:5]),
            remedy="'table slice' with --on-bad skip keeps the others" if len(table) else None,
        )
    # a galaxy without an image has a reason in `skipped`, but no row
    kept = set(ids)
    return dataclasses.replace(
        table, skipped=tuple(pair for pair in table.skipped if pair[0] in kept)
    )
