"""Read Parquet, Feather and Arrow files, and folders of Parquet such as HATS catalogs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from gzfeatures.errors import InputError
from gzfeatures.files import join_inside
from gzfeatures.tablefiles import cells, stored_units
from gzfeatures.tablefiles.parquet_size import read_parquet_file, require_memory
from gzfeatures.tablefiles.raw_table import RawTable, storage

_INDEX = re.compile(r"__index_level_\d+__")
PROPERTIES = ("collection.properties", "hats.properties", "properties")
"""Names of files that only a HATS catalog or a collection of HATS catalogs contains."""
_PRIMARY = "hats_primary_table_url"
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_VERSIONED = {"_delta_log": "Delta Lake", "metadata": "Iceberg", ".hoodie": "Hudi"}
"""Folder name → format of a table that keeps outdated Parquet files among the current ones."""


def read_parquet(path: Path) -> RawTable:
    """Read a table from one Parquet file, or from a folder of Parquet files."""
    return read_folder(path) if path.is_dir() else _without_index(read_parquet_file(path))


def read_feather(path: Path) -> RawTable:
    """Read a table from a Feather file of version 1 or 2, or from an Arrow file or stream."""
    from pyarrow import feather

    with path.open("rb") as file:
        magic = file.read(6)
    if magic == b"ARROW1" or magic.startswith(b"FEA1"):
        return _without_index(feather.read_table(path, memory_map=False))
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
        return _without_index(stream.read_all())


def read_folder(path: Path) -> RawTable:
    """Read a folder of Parquet files as one table, in the order of the file names.

    `key=value` in the name of a folder is a column, as Hive, Spark, DuckDB and polars write it. A
    HATS catalog (International Virtual Observatory Alliance, HATS 1.0), or the primary catalog of a
    HATS collection, is read without its thumbnail and margins; the names of its folders, which give
    the place of each file on the sky (`Norder=`, `Npix=`), become no columns.

    Parameters
    ----------
    path : Path
        Folder.

    Raises
    ------
    InputError
        The folder has no Parquet file or is a table of Delta Lake, Iceberg or Hudi; or a column has
        types in two files that no common type can represent.
    """
    root, hats = catalog_root(path)
    for name, kind in _VERSIONED.items():
        if (root / name).is_dir() and (
            name != "metadata" or any((root / name).glob("*.metadata.json"))
        ):
            raise InputError(
                f"folder is a table of {kind}, whose files do not all count",
                where=path,
                remedy="export it as one Parquet file",
            )
    files = sorted(parquet_files(root, hats))
    if not files:
        raise InputError("folder holds no Parquet files", where=path, remedy="name a file")
    require_memory(files)
    units: dict[str, str] = {}
    said: list[str] = []
    parts = [_part(root, file, hats, units, said) for file in files]
    columns: dict[str, list[Any]] = {name: [] for part in parts for name in part}
    notes = [f"{len(files)} Parquet files are read as one table"] if len(files) > 1 else []
    for name, chunks in columns.items():
        lacking = [file for file, part in zip(files, parts, strict=True) if name not in part]
        if lacking:
            notes.append(f"column {name} is missing in {len(lacking)} of {len(files)} files")
        kind = _common_type(
            name,
            [(part[name], file) for part, file in zip(parts, files, strict=True) if name in part],
        )
        for part in parts:
            length = len(next(iter(part.values()))) if part else 0
            chunks.append(
                part[name].cast(kind)
                if name in part
                else pa.chunked_array([pa.nulls(length, kind)])
            )
    table = pa.table(
        {name: pa.chunked_array(_chunks(parts), parts[0].type) for name, parts in columns.items()}
    )
    raw = _without_index(table)
    if not hats:
        keys = {name for file in files for name in _keys(root, file)}
        raw.columns = [
            cells.typed(column) if name in keys else column
            for name, column in zip(raw.names, raw.columns, strict=True)
        ]
    raw.notes, raw.units = (
        [*notes, *dict.fromkeys(said)],
        {name: unit for name, unit in units.items() if unit},
    )
    return raw


def _chunks(parts: list[Any]) -> list[Any]:
    return [chunk for part in parts for chunk in part.chunks]


def catalog_root(path: Path) -> tuple[Path, bool]:
    """Return the folder with the data files of a catalog, and whether it is a HATS catalog."""
    for name in PROPERTIES:
        if (path / name).is_file():
            text = (path / name).read_text(encoding="utf-8")
            entries = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
            primary = next(
                (value.strip() for key, value in entries.items() if key.strip() == _PRIMARY), None
            )
            if primary is not None:
                return catalog_root(join_inside(path, primary))
            return (path / "dataset" if (path / "dataset").is_dir() else path), True
    return path, False


def parquet_files(root: Path, hats: bool) -> Iterator[Path]:
    """Yield the Parquet files of a folder; of a HATS catalog, only the files of its partitions."""
    for file in root.rglob("*"):
        parts = file.relative_to(root).parts
        if file.suffix.lower() not in (".parquet", ".pq", ".parq") or not file.is_file():
            continue
        if any(part.startswith(("_", ".")) for part in parts):
            continue
        if hats and not parts[0].startswith("Norder="):
            continue
        yield join_inside(root, str(file.relative_to(root)))


def _keys(root: Path, file: Path) -> dict[str, str]:
    """Return the columns that folder names define: `survey=sdss` gives a column survey."""
    folders = file.relative_to(root).parts[:-1]
    return {
        unquote(key): unquote(value)
        for key, sign, value in (part.partition("=") for part in folders)
        if sign
    }


def _part(
    root: Path, file: Path, hats: bool, units: dict[str, str], notes: list[str]
) -> dict[str, pa.ChunkedArray]:
    """Return the columns of one Parquet file of a folder.

    Refuse a column whose unit differs from its unit in the files that were read before.
    """
    # `require_memory` has already checked that all files together fit into the memory
    table = pq.ParquetFile(file).read()
    own, said = stored_units.of_arrow(table.schema.metadata)
    notes += said
    for name in table.column_names:
        unit = own.get(name, "")
        if units.setdefault(name, unit) != unit:
            raise InputError(
                "column has two units",
                where=f"{file}, column {name}",
                rule=f"be in {units[name] or 'no unit'}, as in the files before",
                found=unit or "no unit",
                remedy="write the files with one unit",
            )
    if len(set(table.column_names)) < len(table.column_names):
        raise InputError("two columns have one name", where=file, remedy="rename one of them")
    part = {
        name: storage(column)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    for name, column in part.items():
        if pa.types.is_string(column.type) or pa.types.is_string_view(column.type):
            part[name] = column.cast(pa.large_string())
    if not hats:
        for key, value in _keys(root, file).items():
            text = None if value in ("", _NO_VALUE) else value
            part.setdefault(
                key, pa.chunked_array([pa.array([text] * len(table), pa.large_string())])
            )
    return part


def _common_type(name: str, columns: list[tuple[pa.ChunkedArray, Path]]) -> pa.DataType:
    """Return one type for a column that several files store: int64 if their integer types differ.

    Raises
    ------
    InputError
        Some files store integers and others floats: one common type would change some values.
    """
    first: tuple[pa.DataType, Path] | None = None
    for column, file in columns:
        kind = column.type
        if pa.types.is_null(kind):
            continue
        if first is None or kind == first[0]:
            first = first or (kind, file)
        elif pa.types.is_signed_integer(kind) and pa.types.is_signed_integer(first[0]):
            first = (pa.int64(), first[1])
        else:
            raise InputError(
                "column has two types",
                where=f"{file}, column {name}",
                rule=f"be {first[0]}, as in {first[1].name}",
                found=str(kind),
                remedy="write the files with one type",
            )
    return pa.null() if first is None else first[0]


def _without_index(table: pa.Table) -> RawTable:
    """Return a table without the nameless column in which pandas stores its row index."""
    kept = [place for place, name in enumerate(table.column_names) if not _INDEX.fullmatch(name)]
    units, notes = stored_units.of_arrow(table.schema.metadata)
    names = [table.column_names[place] for place in kept]
    return RawTable(names, [table.column(place) for place in kept], notes, units)
