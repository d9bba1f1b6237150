"""Join, for each galaxy, the numbers that a head reads: embeddings and catalog columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.features.matrices import BLOCK, allocate
from gzfeatures.features.table import EmbeddingTable, Extractor
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.catalogs.quantities import present
from gzfeatures.ids import Ids, among, positions

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog import Catalog

Tables: TypeAlias = EmbeddingTable | Sequence[EmbeddingTable]

STEP = 0.1
"""Largest rounding of a column that a head reads, in standard deviations of the column."""


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """Store the numbers that a head reads, one row per galaxy, and where they come from.

    Parameters
    ----------
    ids : Ids
        Shape (n,), those of the first table.
    matrix : ndarray of float32
        Shape (n, d): the tables side by side, then the catalog columns (NaN for a missing value,
        also if the catalog writes it as a number such as −999).
    extractors : tuple of Extractor
        Settings (network, layer, crop) of each table.
    columns : tuple of str
        Catalog columns.
    skipped : frozenset of str
        Galaxies that a table lists as galaxies without a vector.
    first : EmbeddingTable
        The first table, with the digests and picture hashes that any of the tables knows.
    """

    ids: Ids
    matrix: npt.NDArray[np.float32]
    extractors: tuple[Extractor, ...]
    columns: tuple[str, ...]
    skipped: frozenset[str]
    first: EmbeddingTable

    def among(self, galaxies: TrainedOn) -> npt.NDArray[np.bool_]:
        """Return which rows belong to galaxies of a training set, as booleans, shape (n,)."""
        rows = self.first.among(galaxies)
        return rows if len(rows) == len(self.ids) else rows[positions(self.first.ids, self.ids)]

    @classmethod
    def of(
        cls, tables: Tables, catalog: Catalog | None = None, columns: Sequence[str] = ()
    ) -> Inputs:
        """Join embedding tables and catalog columns by galaxy id.

        Raises
        ------
        InputError
            There is no table; a galaxy of the first table is missing in another table, which does
            not list it as skipped, or in the catalog; or columns are named without a catalog.
        """
        several = [tables] if isinstance(tables, EmbeddingTable) else list(tables)
        if not several:
            raise InputError("no embedding table", rule="be at least one")
        if columns and catalog is None:
            raise InputError(
                "catalog columns without a catalog",
                found=", ".join(columns),
                remedy="give the catalog too",
            )
        skipped = frozenset(name for table in several for name, _ in table.skipped)
        first, *others = several
        extractors = tuple(table.extractor for table in several)
        # the usual input, one table and no columns of a catalog, may be large: use its matrix
        # without a copy
        if not others and not columns:
            return cls(first.ids, first.matrix, extractors, (), skipped, first)
        ids = first.ids[~among(first.ids, skipped)] if skipped else first.ids
        sources = [
            (table.matrix, positions(table.ids, ids, where=table.extractor.backbone))
            for table in several
        ]
        if catalog is not None and columns:
            values = np.column_stack([catalog.column(name) for name in columns])
            values = np.where(present(values), values, np.nan)
            _require_single_precision(values, columns, str(catalog.source))
            numbers = values.astype(np.float32)
            sources.append(
                (numbers, positions(catalog.ids, ids, where=f"catalog {catalog.source}"))
            )
        matrix = allocate(len(ids), sum(source.shape[1] for source, _ in sources))
        # join block by block: joining whole tables would need twice the memory
        for start in range(0, len(ids), BLOCK):
            part = slice(start, start + BLOCK)
            np.concatenate(
                [source[rows[part]] for source, rows in sources], axis=1, out=matrix[part]
            )
        for other in others:
            first = first if _is_complete(first) else _completed(first, other)
        return cls(ids, matrix, extractors, tuple(columns), skipped, first)


def require_resolved(catalog: Catalog | None, columns: Sequence[str]) -> None:
    """Refuse a column whose numbers differ too little from a large one, such as Julian dates.

    In single precision, in which heads compute, such a column would be the same for all galaxies,
    or have a few values only.

    Raises
    ------
    InputError
        Neighbouring numbers of single precision are further apart than `STEP` standard deviations
        of a column.
    """
    if catalog is None:
        return
    for name in columns:
        numbers = catalog.column(name)
        numbers = numbers[present(numbers)]
        if not len(numbers) or not np.ptp(numbers):
            continue
        largest = numbers[np.abs(numbers).argmax()]
        # divide first: squares of very large numbers overflow even in double precision
        spread = float((numbers / abs(largest)).std() * abs(largest))
        # twice the largest rounding error is the distance of neighbouring numbers, or 0 where all
        # are exact, as whole days often are
        step = 2 * float(np.abs(numbers - numbers.astype(np.float32)).max())
        if step > STEP * spread:
            raise InputError(
                f"column {name} differs too little from a large number for a head",
                where=str(catalog.source),
                rule=f"have a standard deviation above {step / STEP:.2g} "
                f"for numbers near {largest:.6g} (single precision)",
                found=f"{spread:.2g}",
                remedy="subtract a constant from the column, or give it another unit",
            )


def _require_single_precision(
    values: npt.NDArray[np.float64], columns: Sequence[str], where: str
) -> None:
    """Refuse numbers that single precision, in which heads compute, would turn into infinity."""
    too_large = np.abs(values) > np.finfo(np.float32).max
    if too_large.any():
        column = int(np.argmax(too_large.any(0)))
        largest = values[too_large[:, column], column][0]
        raise InputError(
            f"column {columns[column]} holds a number that a head cannot read",
            where=where,
            rule="lie within ±3.4e38 (single precision)",
            found=f"{largest:g}",
            remedy="give the column another unit, or its logarithm",
        )


def _completed(first: EmbeddingTable, other: EmbeddingTable) -> EmbeddingTable:
    """Return the first table, with what only another table knows of the same galaxies' images.

    An imported table may know no image: a galaxy that a network was trained on would then be
    recognised by its id alone.
    """
    here = np.flatnonzero(among(first.ids, other.ids))
    there = positions(other.ids, first.ids[here])
    digests = first.digests.copy()
    unknown = np.array([not key for key in first.file_keys], dtype=bool)[here]
    digests[here[unknown]] = other.digests[there[unknown]]
    pictures = first.pictures
    if other.pictures is not None:
        width = other.pictures.shape[1]
        none = np.zeros((len(first), width), dtype=np.uint8)
        pictures = none if pictures is None else pictures.copy()
        empty = ~pictures[here].any(1)
        pictures[here[empty]] = other.pictures[there[empty]]
    kind = first.kind or other.kind
    return dataclasses.replace(first, digests=digests, pictures=pictures, kind=kind)


def _is_complete(table: EmbeddingTable) -> bool:
    """Return whether a table knows the image, picture hash and catalog of every galaxy."""
    if table.pictures is None or not table.kind or not table.pictures.any(axis=1).all():
        return False
    return "" not in table.file_keys
