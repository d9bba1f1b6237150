"""Write a catalog as a table file, or as a HATS catalog if the name ends in .hats."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs import quantities
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.joined_file import write_joined
from gzfeatures.galaxies.hats_catalogs.partition import known_vectors
from gzfeatures.galaxies.hats_catalogs.partner_search import MemorySource
from gzfeatures.galaxies.hats_catalogs.writer import MOST_ROWS, write_hats
from gzfeatures.tablefiles.arrow_output import to_arrow
from gzfeatures.tablefiles.tables import write_table

ENDING = ".hats"
"""Ending of the name of a folder that becomes a HATS catalog."""


def write_catalog(
    catalog: Catalog, path: Path, first: Catalog | None = None, most_rows: int = MOST_ROWS
) -> Path:
    """Write a catalog as a table file, or as a HATS catalog (divided into partitions of the sky).

    Parameters
    ----------
    catalog : Catalog
        The catalog to write. In HATS, ids that its file stored as integers become integers of the
        same type again.
    path : Path
        Ends in .hats, .parquet, .csv, .csv.gz, .fits or .vot.
    first : Catalog, optional
        First table of a join whose result `catalog` is (see `joined_file.write_joined`).
    most_rows : int
        Largest number of rows in a HATS partition.

    Raises
    ------
    InputError
        The catalog has no positions for HATS, or the file cannot hold it.
    MissingExtraError, OutputError
        The library hats is not installed; `path` cannot be written.
    """
    if path.suffix != ENDING:
        return write_joined(catalog, catalog if first is None else first, path)
    ra, dec = (_column(catalog.frame, name, catalog.source) for name in ("ra", "dec"))
    return write_hats(to_arrow(catalog.frame), path, ra, dec, most_rows)


def write_checked(catalog: Catalog, path: Path) -> Path:
    """Write a checked catalog with the column types and units of gzfeatures."""
    return (
        write_table(catalog.frame, path) if path.suffix != ENDING else write_catalog(catalog, path)
    )


def source_in_memory(frame: pd.DataFrame, where: str) -> MemorySource:
    """Prepare a table in memory to be the second catalog of a join by sky position.

    Raises
    ------
    InputError
        The table has no positions.
    """
    ra, dec = (quantities.required(frame, name, where) for name in ("ra", "dec"))
    return MemorySource(to_arrow(frame), known_vectors(ra, dec))


def _column(frame: pd.DataFrame, name: str, where: str) -> str:
    """Return the name of the table column with right ascensions or declinations."""
    quantities.required(frame, name, where)  # raises an error that names the fault of the column
    column = quantities.column_of(frame, name).column
    if column is None:
        raise InputError(f"no numeric column for {name}", where=where)
    return column
