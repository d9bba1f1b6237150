"""Parquet, Feather and Arrow files, and folders of Parquet: partitioned tables and HATS catalogs."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gzfeatures.galaxies.rawtable import RawTable

_INDEX = re.compile(r"__index_level_\d+__")
_PARTITIONS = ("Norder", "Dir", "Npix")
"""Folders of a HATS catalog, which say where on the sky a file lies: no columns of the catalog."""


def read_parquet(path: Path) -> RawTable:
    """Read one Parquet file, whoever wrote it; pandas' own notes in it are not asked for types."""
    table = pq.ParquetFile(path).read()
    return _without_index(table)


def read_feather(path: Path) -> RawTable:
    """Read a Feather file of version 1 or 2, or an Arrow file or stream."""
    from pyarrow import feather

    with path.open("rb") as file:
        magic = file.read(6)
    if magic in (b"ARROW1", b"FEA1" + magic[4:]):
        return _without_index(feather.read_table(path, memory_map=False))
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
        return _without_index(stream.read_all())


def _without_index(table: pa.Table) -> RawTable:
    """The table without the nameless index that pandas writes as a column."""
    return RawTable.of(table.drop_columns([name for name in table.column_names if _INDEX.fullmatch(name)]))
