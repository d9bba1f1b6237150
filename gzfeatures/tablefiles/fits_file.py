"""Read FITS tables column by column, and mark missing values before any value is scaled."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gzfeatures.errors import InputError
from gzfeatures.fits.header import judged
from gzfeatures.tablefiles import cells
from gzfeatures.tablefiles.raw_table import RawTable

MOST_COLUMNS = 30_000
"""Largest number of values per row: each value becomes a column, which takes about 30 µs."""


@contextmanager
def fits_units(path: Path, what: str = "catalog") -> Iterator[Any]:
    """Check the headers of a FITS file, load its units (HDUs) into memory, and close the file.

    The file is opened here and not by astropy: astropy would leave it open after an unexpected
    header.
    """
    from astropy.io import fits

    with judged(path, what=what) as file, fits.open(file, memmap=False) as units:
        yield units


def read_fits(path: Path, id_columns: Sequence[str]) -> RawTable:
    """Read the first table of a FITS file that has a column of galaxy ids.

    Integers are compared with TNULL before TSCAL and TZERO are applied (FITS standard 4.0, section
    7.3.2), because TNULL is an unscaled value. A vector column `v` becomes v_0, v_1, …; arrays of
    variable length and complex numbers are left out, and a note says so.

    Parameters
    ----------
    path : Path
        FITS, plain or compressed by gzip.
    id_columns : sequence of str
        Names of id columns.

    Raises
    ------
    InputError
        The file has several tables, and none has an id column.
    """
    from astropy.io import fits

    with warnings.catch_warnings():
        # hide astropy's warnings on units and headers, because the numbers are right nevertheless
        warnings.filterwarnings("ignore", module="astropy")
        with fits_units(path) as units:
            tables = [unit for unit in units if isinstance(unit, fits.BinTableHDU | fits.TableHDU)]
            if not tables:
                raise ValueError("it holds no table")
            titles = [
                f"{unit.name or 'table'} ({', '.join(unit.columns.names[:4])}, …)"
                for unit in tables
            ]
            place, notes = chosen([unit.columns.names for unit in tables], titles, id_columns, path)
            return _columns(tables[place], notes)


def chosen(
    names: Sequence[Sequence[str]], titles: Sequence[str], id_columns: Collection[str], path: Path
) -> tuple[int, list[str]]:
    """Return the number of a file's first table with galaxy ids, and messages about other tables.

    Parameters
    ----------
    names : sequence of sequences of str
        Column names of each table.
    titles : sequence of str
        Title of each table, for messages.
    id_columns : collection of str
        Names of id columns.
    path : Path
        The file.

    Raises
    ------
    InputError
        The file has several tables, and none has an id column.
    """
    with_ids = [place for place, columns in enumerate(names) if set(columns) & set(id_columns)]
    if len(names) == 1:
        return 0, []
    if not with_ids:
        raise InputError(
            "no table of the file has an id column",
            where=path,
            rule=f"have {' or '.join(list(id_columns)[:12])}",
            found="; ".join(titles[:8]),
            remedy="name the id column",
        )
    note = f"the file holds {len(names)} tables: {titles[with_ids[0]]} is read"
    if len(with_ids) > 1:
        note += f", which is the first of {len(with_ids)} with an id column"
    return with_ids[0], [note]


def _columns(unit: Any, notes: list[str]) -> RawTable:
    from astropy.io import fits

    if unit.header.get("ZTABLE"):
        raise ValueError("its table is compressed; unpack it with funpack")
    # limit the values per row: each becomes a column, and even an empty table may declare huge
    # vectors
    formats = unit.columns.dtype
    numbers = sum(math.prod(formats[name].shape) for name in formats.names)
    if numbers > MOST_COLUMNS:
        raise ValueError(f"its rows hold {numbers:,} values (at most {MOST_COLUMNS:,})")
    data = unit.data
    raw = None if data is None else data.view(np.ndarray)
    table = RawTable([], [], notes)
    left_out = []
    for place, column in enumerate(unit.columns):
        name, code = str(column.name), _code(column, isinstance(unit, fits.TableHDU))
        if code in "PQCM":
            left_out.append(name)
            continue
        if raw is None:
            parts = {name: pa.nulls(0)}
        elif isinstance(unit, fits.TableHDU):
            parts = {name: _printed(_strings(raw[raw.dtype.names[place]]), column, code)}
        elif code == "X":
            parts = _parts(name, np.asarray(data.field(place)), _plain_array)
        else:
            stored = raw[raw.dtype.names[place]]
            parts = _parts(
                name, stored, lambda part, column=column, code=code: _binary(part, column, code)
            )
        for part, values in parts.items():
            table.names.append(part)
            table.columns.append(values)
            if column.unit:
                table.units[part] = str(column.unit)
            if ucd := unit.header.get(f"TUCD{place + 1}"):
                table.ucds[part] = str(ucd)
    if left_out:
        notes.append(
            f"columns of variable length or complex numbers are left out: {', '.join(left_out)}"
        )
    return table


def _code(column: Any, printed: bool) -> str:
    """Return the letter in a FITS column format, such as A in `20A` or J in `PJ(12)`."""
    text = str(column.format).strip().upper()
    return text[0] if printed else next((letter for letter in text if letter.isalpha()), "A")


def _parts(name: str, values: npt.NDArray[Any], make: Any) -> dict[str, Any]:
    """Return a FITS column as dict, name → column; a vector column `v` becomes v_0, v_1, …."""
    if values.ndim == 1:
        return {name: make(values)}
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    return {f"{name}_{part}": make(flat[:, part]) for part in range(flat.shape[1])}


def _plain_array(values: npt.NDArray[Any]) -> Any:
    return pa.array(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="))))


def _binary(stored: npt.NDArray[Any], column: Any, code: str) -> Any:
    """Convert a column of a FITS binary table to an Arrow array."""
    if code == "A":
        return _strings(stored)
    values = np.ascontiguousarray(stored.astype(stored.dtype.newbyteorder("=")))
    if code == "L":  # FITS stores the letters T and F, and a zero byte for a missing value
        letters = values.view(np.uint8)
        return pa.array(letters == ord("T"), mask=(letters != ord("T")) & (letters != ord("F")))
    mask = None
    if code in "BIJK" and column.null not in (None, ""):
        mask = values == np.int64(int(column.null))
    scale = 1 if column.bscale in (None, "") else column.bscale
    zero = 0 if column.bzero in (None, "") else column.bzero
    return pa.array(_scaled(values, scale, zero), mask=mask)


def _scaled(values: npt.NDArray[Any], scale: float, zero: float) -> npt.NDArray[Any]:
    """Return TZERO + TSCAL × values of a FITS column; if TSCAL is 1, integers stay integers."""
    if scale == 1 and zero == 0:
        return values
    if values.dtype.kind in "iu" and scale == 1 and float(zero).is_integer():
        moved = int(zero)
        # FITS stores unsigned 64-bit integers as signed ones shifted by 2^63: flip the highest bit
        if moved == 2**63 and values.dtype == np.int64:
            return values.view(np.uint64) ^ np.uint64(2**63)
        low, high = (int(end) + moved for end in (values.min(initial=0), values.max(initial=0)))
        if -(2**63) <= low and high < 2**63 and abs(moved) < 2**63:
            return values.astype(np.int64) + np.int64(moved)
    return values.astype(np.float64) * float(scale) + float(zero)


def _strings(stored: npt.NDArray[Any]) -> Any:
    """Return FITS texts without padding, decoded from UTF-8; an empty text counts as missing."""
    padded = np.ascontiguousarray(
        np.char.encode(stored, "utf-8") if stored.dtype.kind == "U" else stored
    )
    width = padded.dtype.itemsize
    if width == 0 or len(padded) == 0:
        return pa.nulls(len(padded), pa.large_string())
    fixed = pa.Array.from_buffers(pa.binary(width), len(padded), [None, pa.py_buffer(padded)])
    try:
        trimmed = pc.utf8_rtrim(fixed.cast(pa.large_binary()).cast(pa.large_string()), " \0")
    except pa.ArrowInvalid:
        # keep texts that are not UTF-8 as bytes: later, ids among them are refused, and other
        # columns keep the characters that can be decoded
        trimmed = pa.array([text.rstrip(b" \0") for text in padded.tolist()], pa.large_binary())
    # an empty text counts as missing, because FITS has no other mark for a missing text
    empty = pc.equal(pc.binary_length(trimmed), 0)
    return pc.if_else(empty, pa.scalar(None, trimmed.type), trimmed)


def _printed(raw: Any, column: Any, code: str) -> Any:
    """Convert a column of a FITS ASCII table from its characters; long integers stay exact."""
    if code == "A":
        return raw
    texts = pc.utf8_trim_whitespace(raw.cast(pa.large_string()))
    hidden = pc.equal(texts, "")
    if column.null not in (None, ""):
        hidden = pc.or_kleene(hidden, pc.equal(texts, str(column.null).strip()))
    texts = pc.if_else(pc.fill_null(hidden, True), pa.scalar(None, texts.type), texts)
    texts = pc.replace_substring_regex(texts, "[Dd]", "E")
    values = cells.typed(pa.chunked_array([texts]))
    scale = 1 if column.bscale in (None, "") else column.bscale
    zero = 0 if column.bzero in (None, "") else column.bzero
    if (scale, zero) == (1, 0):
        return values
    mask = values.is_null().to_numpy()
    numbers = pc.fill_null(values, 0).to_numpy()
    return pa.array(_scaled(numbers, scale, zero), mask=mask)
