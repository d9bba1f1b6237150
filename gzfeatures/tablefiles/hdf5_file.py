"""Read tables from HDF5 files, stored as one dataset per column or as one dataset of records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gzfeatures.errors import InputError
from gzfeatures.tablefiles import stored_units
from gzfeatures.tablefiles.fits_file import chosen
from gzfeatures.tablefiles.raw_table import RawTable

_DEEPEST, _MOST = 4, 10_000
"""Largest depth of nested groups that is searched, and largest number of entries in a group."""
_RATIO = 1032
"""Most bytes that one stored byte can decompress to (zlib); a header that claims more is wrong."""
_ASTROPY = ".__table_column_meta__"
_FILL = "_FillValue"


@dataclasses.dataclass
class _ColumnGroup:
    """Store one table of an HDF5 file: columns, units, and messages about what cannot be read."""

    title: str
    columns: dict[str, Any]
    rows: int
    notes: list[str]
    units: dict[str, str] = dataclasses.field(default_factory=dict)


def read_hdf5(path: Path, id_columns: Sequence[str]) -> RawTable:
    """Read from an HDF5 file the table that has a column of galaxy ids.

    A group with one-dimensional datasets of equal length is a table, as is a dataset of records
    (h5py, astropy, PyTables). Datasets with more axes, such as images, and links into other files
    are left out.

    Parameters
    ----------
    path : Path
        HDF5 file.
    id_columns : sequence of str
        Names of id columns.

    Raises
    ------
    InputError
        The file has no table, or several of which none has an id column; or pandas' HDFStore wrote
        the file.
    """
    import h5py

    with h5py.File(path, "r") as file:
        tables = list(_tables(file, path, id_columns, 0))
        if not tables:
            raise InputError(
                "no table in the HDF5 file",
                where=path,
                rule="have one-dimensional datasets of equal length, or a dataset of records",
                found=", ".join(list(file)[:12]) or "nothing",
            )
        titles = [f"{table.title} ({', '.join(list(table.columns)[:4])}, …)" for table in tables]
        place, notes = chosen([list(table.columns) for table in tables], titles, id_columns, path)
        table = tables[place]
        raw = RawTable([], [], notes + table.notes, table.units)
        for name, dataset in table.columns.items():
            array = _array(dataset, path)
            if array is None:
                raw.notes.append(f"nested columns are left out: {name}")
                continue
            raw.names.append(name)
            raw.columns.append(array)
        return raw


def _tables(
    group: Any, path: Path, id_columns: Sequence[str], depth: int
) -> Iterator[_ColumnGroup]:
    """Yield every table in an HDF5 group and in its subgroups."""
    import h5py

    _require_readable(group, path)
    # read only data stored in this file, because soft and external links may lead to other files
    stored = [name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)]
    entries = {name: group[name] for name in stored}
    for name, entry in entries.items():
        if isinstance(entry, h5py.Dataset) and entry.dtype.names and entry.ndim == 1:
            _require_here(entry, path)
            fields: dict[str, Any] = {str(field): (entry, field) for field in entry.dtype.names}
            units, notes = _units(entries.get(name + _ASTROPY), path)
            yield _ColumnGroup(name, fields, len(entry), notes, units)
        elif isinstance(entry, h5py.Group) and depth < _DEEPEST:
            yield from _tables(entry, path, id_columns, depth + 1)
    table = _table_of_datasets(group, entries, path, id_columns)
    if table is not None:
        yield table


def _require_readable(group: Any, path: Path) -> None:
    """Refuse an HDF5 group that pandas' HDFStore wrote, or that has too many entries."""
    if "pandas_type" in group.attrs:
        raise InputError(
            "table of pandas' HDFStore, which keeps its columns as pickles",
            where=f"{path}, {group.name}",
            remedy="write it with DataFrame.to_parquet",
        )
    if len(group) > _MOST:
        raise InputError(
            "HDF5 group is too large", where=path, rule=f"have {_MOST} entries", found=len(group)
        )


def _table_of_datasets(
    group: Any, entries: dict[str, Any], path: Path, id_columns: Sequence[str]
) -> _ColumnGroup | None:
    """Return an HDF5 group's one-dimensional datasets as one table; None if it has none."""
    import h5py

    plain = {
        name: entry
        for name, entry in entries.items()
        if isinstance(entry, h5py.Dataset)
        and not name.endswith(_ASTROPY)
        and not entry.dtype.names
        and entry.shape
    }
    columns = {name: entry for name, entry in plain.items() if entry.ndim == 1}
    if not columns:
        return None
    rows = _rows_of(columns, f"{path}, {group.name}", id_columns)
    # datasets of another shape or length are no columns of these galaxies, so tell the user that
    # they are left out
    others = [name for name in plain if name not in columns]
    others += [name for name, entry in columns.items() if len(entry) != rows]
    notes = []
    if others:
        notes.append(
            f"datasets that are no columns of {rows} rows are left out: {', '.join(others)}"
        )
    kept = {name: (entry, None) for name, entry in columns.items() if len(entry) == rows}
    for entry, _ in kept.values():
        _require_here(entry, path)
    return _ColumnGroup(group.name, kept, rows, notes)


def _rows_of(columns: dict[str, Any], where: str, id_columns: Sequence[str]) -> int:
    """Return an HDF5 group's number of galaxies: the length of its id column, or of all columns."""
    leading = next((name for name in id_columns if name in columns), None)
    if leading is not None:
        return len(columns[leading])
    lengths = {len(entry) for entry in columns.values()}
    if len(lengths) > 1:
        listed = ", ".join(f"{name} has {len(entry)}" for name, entry in list(columns.items())[:8])
        raise InputError(
            "datasets differ in length", where=where, found=listed, remedy="name the id column"
        )
    return lengths.pop()


def _units(header: Any, path: Path) -> tuple[dict[str, str], list[str]]:
    """Return column units from the YAML text that astropy stores beside an HDF5 table."""
    if header is None or getattr(header, "ndim", 0) != 1:
        return {}, []
    _require_here(header, path)
    lines = [line.encode() if isinstance(line, str) else line for line in header[()].tolist()]
    return stored_units.of_yaml(b"\n".join(line for line in lines if isinstance(line, bytes)))


def _require_here(dataset: Any, path: Path) -> None:
    """Refuse an HDF5 dataset from another file, or larger than its bytes can decompress to."""
    if dataset.external or dataset.is_virtual:
        raise InputError("column points into another file", where=path, found=dataset.name)
    stored = dataset.id.get_storage_size()
    if dataset.size * dataset.dtype.itemsize > _RATIO * (stored + 4096):
        raise InputError(
            "dataset is longer than what the file holds",
            where=f"{path}, {dataset.name}",
            found=dataset.shape,
        )


def _array(source: tuple[Any, str | None], path: Path) -> Any:
    """Return an HDF5 column as an Arrow array; None if its cells are neither numbers nor text."""
    import h5py

    dataset, field = source
    kind = dataset.dtype if field is None else dataset.dtype[field]
    text = h5py.check_string_dtype(kind)
    if kind.subdtype is not None or (kind.kind not in "biufS" and text is None):
        return None
    values: npt.NDArray[Any] = np.asarray(dataset[()] if field is None else dataset[field])
    if text is not None:
        cells = [cell.encode() if isinstance(cell, str) else cell for cell in values.tolist()]
        # an empty text counts as missing, because HDF5 has no other mark for a missing text
        array = pa.array([cell.rstrip(b" \0") or None for cell in cells], pa.large_binary())
        try:
            return array.cast(pa.large_string())
        except pa.ArrowInvalid:
            return array
    native = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("=")))
    fill = dataset.attrs.get(_FILL) if field is None else None
    mask = None if fill is None else native == np.asarray(fill, dtype=native.dtype).reshape(-1)[0]
    return pa.array(native, mask=mask)
