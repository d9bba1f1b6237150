"""Read Parquet files whose rows fit the memory, and refuse other files before reading any row.

A file of a few kilobytes may declare billions of equal rows, which would fill the memory when read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from gzfeatures.errors import InputError

OFFSET = 4
"""Fewest bytes that Arrow needs for a text or a list, even an empty one: its offset (int32)."""


def memory_of_machine() -> int:
    """Return the size of this machine's memory in bytes."""
    return int(psutil.virtual_memory().total)


def read_parquet_file(
    file: Path, columns: Sequence[str] | None = None, *, verified: bool = False
) -> pa.Table:
    """Read one Parquet file or some of its columns; check page checksums if `verified` is true.

    Raises
    ------
    InputError
        The columns to read are larger than the memory.
    """
    with pq.ParquetFile(file, page_checksum_verification=verified) as whole:
        _required_bytes(file, whole, columns, 0.0)
        return whole.read(columns)


def require_memory(files: Iterable[Path], columns: Sequence[str] | None = None) -> None:
    """Refuse Parquet files that together are larger than this machine's memory when read.

    Only the footers of the files are read. A number counts with its size, a text only with the size
    of its offset, so this is a lower limit: a table that could be read is never refused.

    Parameters
    ----------
    files : iterable of Path
        Parquet files.
    columns : sequence of str, optional
        Columns to read; default all.

    Raises
    ------
    InputError
        The rows do not fit; the message names the first file with which they no longer do.
    """
    needed = 0.0
    for file in files:
        with pq.ParquetFile(file) as whole:
            needed = _required_bytes(file, whole, columns, needed)


def _required_bytes(
    file: Path, whole: pq.ParquetFile, columns: Sequence[str] | None, before: float
) -> float:
    """Return the memory that a Parquet file needs, in bytes, added to `before`; refuse too much.

    `before` is the number of bytes that the files before this one need.
    """
    rows, most = whole.metadata.num_rows, memory_of_machine()
    read = [field for field in whole.schema_arrow if columns is None or field.name in columns]
    needed: float = before + rows * sum(_width(field.type) for field in read)
    if needed > most:
        raise InputError(
            "table is larger than the memory",
            where=file,
            rule=f"fit into the {most / 1e9:.3g} GB of this machine",
            found=f"{rows:,} rows of {len(read)} columns, at least {needed / 1e9:.3g} GB",
            remedy="take the rows or columns that you need, for example with DuckDB",
        )
    return needed


def _width(kind: pa.DataType) -> float:
    """Return the minimum size in bytes of one value of an Arrow type in memory."""
    if isinstance(kind, pa.BaseExtensionType):
        return _width(kind.storage_type)
    if pa.types.is_null(kind):
        return 0.0
    if pa.types.is_dictionary(kind):
        return _width(kind.index_type)
    if pa.types.is_struct(kind):
        return sum(_width(kind.field(k).type) for k in range(kind.num_fields))
    if pa.types.is_fixed_size_list(kind):
        return float(kind.list_size) * _width(kind.value_type)
    try:
        return float(kind.bit_width) / 8
    except ValueError:  # the type has no fixed width
        return float(OFFSET)
