"""Read VOTable and ECSV files through astropy, with their masks and units."""

from __future__ import annotations

import gzip
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gzfeatures.errors import InputError
from gzfeatures.tablefiles.fits_file import chosen
from gzfeatures.tablefiles.raw_table import RawTable


def read_ecsv(path: Path, id_columns: Sequence[str]) -> RawTable:
    """Read a table from an ECSV file (Astropy Proposal for Enhancement 6).

    A column `v` of several numbers becomes v_0, v_1, …

    Raises
    ------
    ValueError, astropy's errors
        The file is no ECSV.
    """
    from astropy.table import Table

    text = _bytes(path).decode("utf-8-sig")
    with warnings.catch_warnings():
        # hide astropy's warnings on unusual units, because the numbers are right nevertheless
        warnings.filterwarnings("ignore", module="astropy")
        table = Table.read(text if "\n" in text else text + "\n", format="ascii.ecsv")
    return _columns(table, [])


def read_votable(path: Path, id_columns: Sequence[str]) -> RawTable:
    """Read from a VOTable file, in any serialisation, the table that has a column of galaxy ids.

    Parameters
    ----------
    path : Path
        XML, plain or compressed by gzip.
    id_columns : sequence of str
        Names of id columns.

    Raises
    ------
    InputError
        The file refers to data in another file or address, or declares XML entities; or it has
        several tables, and none has an id column.
    """
    from astropy.io import votable

    data = _bytes(path)
    _require_whole(data, path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="astropy")
        tables = [table for table in votable.parse(io.BytesIO(data)).iter_tables() if table.fields]
        if not tables:
            raise ValueError("it holds no table")
        names = [[field.name or field.ID for field in table.fields] for table in tables]
        titles = [
            f"{table.name or table.ID or 'table'} ({', '.join(columns[:4])}, …)"
            for table, columns in zip(tables, names, strict=True)
        ]
        place, notes = chosen(names, titles, id_columns, path)
        return _columns(tables[place].to_table(use_names_over_ids=True), notes)


def _bytes(path: Path) -> bytes:
    if path.name.lower().endswith(".gz"):
        with gzip.open(path) as file:
            return file.read()
    return path.read_bytes()


def _require_whole(data: bytes, path: Path) -> None:
    """Refuse a VOTable that makes a program open other files or expand XML entities endlessly."""

    def refuse(what: str, value: str | None) -> None:
        raise InputError(what, where=path, found=value, remedy="save it with its data inside")

    def element(name: str, attributes: dict[str, str]) -> None:
        if name.rpartition(":")[2] == "STREAM" and "href" in attributes:
            refuse("data lie in another place", attributes["href"])

    parser = expat.ParserCreate()
    parser.StartElementHandler = element
    parser.EntityDeclHandler = lambda name, *_: refuse("file declares entities", name)
    parser.Parse(data, True)


def _columns(table: Any, notes: list[str]) -> RawTable:
    from astropy.table.serialize import represent_mixins_as_columns

    raw = RawTable([], [], notes)
    left_out = []
    for column in represent_mixins_as_columns(table).itercols():
        name, values = str(column.info.name), np.asarray(column)
        mask = np.asarray(getattr(column, "mask", np.zeros(values.shape, bool)))
        if mask.shape != values.shape:
            mask = np.broadcast_to(mask, values.shape)
        if values.dtype.kind not in "biufSUO":
            left_out.append(name)
            continue
        width = 1 if values.ndim == 1 else int(np.prod(values.shape[1:]))
        flat, hidden = values.reshape(len(values), width), mask.reshape(len(values), width)
        for part in range(width):
            array = _array(flat[:, part], hidden[:, part])
            if array is None:
                left_out.append(name)
                break
            title = name if values.ndim == 1 else f"{name}_{part}"
            raw.names.append(title)
            raw.columns.append(array)
            if column.info.unit:
                raw.units[title] = str(column.info.unit)
            # astropy stores a column's unit in an attribute, but its meaning (UCD) in the
            # dictionary `meta`
            if ucd := (column.info.meta or {}).get("ucd"):
                raw.ucds[title] = str(ucd)
    if left_out:
        notes.append(f"nested columns are left out: {', '.join(left_out)}")
    return raw


def _array(values: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> Any:
    """Return a table column as an Arrow array; None if its cells are neither text nor numbers."""
    if values.dtype.kind in "biuf":
        native = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("=")))
        return pa.array(native, mask=np.ascontiguousarray(mask))
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    cells = [
        None if hidden else value
        for value, hidden in zip(values.tolist(), mask.tolist(), strict=True)
    ]
    try:
        array = pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return None
    if pa.types.is_string(array.type):  # in VOTable and ECSV an empty text means a missing one
        array = pc.if_else(pc.equal(array, ""), pa.scalar(None, array.type), array)
    return None if pa.types.is_nested(array.type) else array
