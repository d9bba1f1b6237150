"""Write tables as FITS and VOTable, with the unit and the meaning (UCD) of each column."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.files import written_whole
from gzfeatures.fits.header import BLOCK, judged
from gzfeatures.tablefiles.cells import texts_of
from gzfeatures.tablefiles.fits_file import chosen

MOST_FIELDS = 999
"""Largest number of columns of a FITS table (FITS standard 4.0, section 7.3.1)."""

NO_INTEGER = -(2**63)
"""TNULL, the integer that marks a missing one: all true values lie within ±2^53 (see `tables`)."""

_CODES = {"int64": "K", "float64": "D", "float32": "E", "bool": "L"}
"""Types of columns without missing values, with their TFORM."""

_FIELD_CARD = re.compile(r"(T[A-Z]+)([1-9]\d*)")
_OF_OLD_BYTES = ("CHECKSUM", "DATASUM", "THEAP")


def require_names(frame: pd.DataFrame, path: Path) -> None:
    """Refuse to write a table in which two columns have one name.

    Raises
    ------
    InputError
        Two columns have one name.
    """
    names = pd.Index([str(name) for name in frame])
    if not names.is_unique:
        raise InputError(
            "two columns of a table have one name",
            where=path,
            rule="have different names",
            found=names[names.duplicated()][0],
            remedy="rename one of them, or join with --suffix",
        )


def write_fits(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table to a FITS file that contains no other table.

    Parameters
    ----------
    frame : DataFrame
        Columns of numbers, booleans or text; `attrs["units"]` and `attrs["ucds"]` become TUNIT and
        TUCD. A missing number is NaN, a missing integer TNULL, a missing text an empty one.
    path : Path
        File to write.

    Raises
    ------
    InputError
        FITS cannot store the table: a text is not ASCII, two column names differ in case only, or
        it has more than 999 columns, or complex numbers.
    OutputError
        The file cannot be written at this path.
    """
    from astropy.io import fits

    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), _unit_of(frame, (), path)]).writeto(file)
    with written_whole(path) as temporary:
        temporary.write_bytes(file.getvalue())
    return path


def extend_fits(
    source: Path,
    id_columns: Collection[str],
    rows: npt.NDArray[np.intp],
    added: pd.DataFrame,
    path: Path,
) -> bool:
    """Write a copy of a FITS catalog that has some of its rows and further columns.

    All that the catalog stores is copied byte by byte: types, TNULL, TZERO, vectors, arrays of
    variable length, the cards of its header, and the other units (HDUs) of the file. Only the
    checksums of the old table (CHECKSUM, DATASUM) are left out.

    Parameters
    ----------
    source : Path
        FITS file, plain or gzipped; its catalog is the table that `fits_file.read_fits` reads.
    id_columns : collection of str
        Names of id columns, by which the catalog is found among the tables of the file.
    rows : ndarray of int
        Numbers of the rows to copy, shape (m,), in their new order.
    added : DataFrame
        Further columns with m rows, as `write_fits` accepts them.
    path : Path
        File to write.

    Returns
    -------
    bool
        True if the copy was written. False, and nothing is written, if the catalog is a table of
        text (XTENSION TABLE), whose rows cannot have binary columns.

    Raises
    ------
    InputError
        As of `write_fits`, for old and further columns together.
    OutputError
        The file cannot be written at this path.
    """
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="astropy")
        with judged(source, what="catalog") as file:
            data = file.read()
        with fits.open(io.BytesIO(data), memmap=False) as units:
            tables = [
                number
                for number, unit in enumerate(units)
                if isinstance(unit, fits.BinTableHDU | fits.TableHDU)
            ]
            names = [units[number].columns.names for number in tables]
            place, _ = chosen(names, [units[number].name for number in tables], id_columns, source)
            number = tables[place]
            if isinstance(units[number], fits.TableHDU):
                return False
            header, where = units[number].header.copy(), units.fileinfo(number)
        start, end = where["datLoc"], where["datLoc"] + where["datSpan"]
        unit = _extended(header, data[start:end], rows, _unit_of(added, names[place], path))
    with written_whole(path) as temporary, temporary.open("wb") as out:
        for part in (data[: where["hdrLoc"]], *unit, data[end:]):
            out.write(part)
    return True


def _extended(
    header: Any, data: bytes, rows: npt.NDArray[np.intp], added: Any
) -> tuple[bytes, bytes, bytes]:
    """Add columns to a FITS table; return its header, rows and heap (variable-length arrays)."""
    width, count = int(header["NAXIS1"]), int(header["NAXIS2"])
    heap = data[int(header.get("THEAP", width * count)) :][: int(header["PCOUNT"])]
    # copy the whole heap even if rows are left out: a row points to its arrays by their distance
    # from the start of the heap; bytes between the rows and the heap (THEAP) are dropped
    if "THEAP" in header:
        heap = heap[: int(header["PCOUNT"]) - (int(header["THEAP"]) - width * count)]
    main = np.frombuffer(data, np.uint8, width * count).reshape(count, width)[rows]
    new, beside = added.header, _stored(added)
    both = np.hstack([main, beside])
    fields = int(header["TFIELDS"])
    for card in _OF_OLD_BYTES:
        header.remove(card, ignore_missing=True)
    header["NAXIS1"], header["NAXIS2"] = both.shape[1], len(rows)
    header["TFIELDS"], header["PCOUNT"] = fields + int(new["TFIELDS"]), len(heap)
    for card in new.cards:
        if found := _FIELD_CARD.fullmatch(card.keyword):
            header.append((f"{found[1]}{fields + int(found[2])}", card.value, card.comment))
    length = both.size + len(heap)
    return (
        header.tostring().encode("ascii"),
        both.tobytes(),
        heap + bytes(-length % BLOCK),
    )


def _stored(unit: Any) -> npt.NDArray[np.uint8]:
    """Return the rows of a FITS table as bytes in FITS format, shape (rows, width)."""
    file = io.BytesIO()
    unit.writeto(file)
    count, width = int(unit.header["NAXIS2"]), int(unit.header["NAXIS1"])
    # rows begin directly after the table's header; the table is the last unit (HDU) of the file
    start = file.getvalue().index(b"XTENSION") + len(unit.header.tostring())
    return np.frombuffer(file.getvalue(), np.uint8, count * width, start).reshape(count, width)


def _unit_of(frame: pd.DataFrame, taken: Collection[str], path: Path) -> Any:
    """Return a data frame as a FITS binary table; refuse values that FITS cannot store."""
    from astropy.io import fits

    names = [str(name) for name in frame]
    lower = [name.lower() for name in (*taken, *names)]
    twice = [name for name in names if lower.count(name.lower()) > 1]
    if twice:
        raise InputError(
            "two columns of a FITS table have one name",
            where=path,
            rule="differ in more than case",
            found=twice[0],
            remedy="rename one of them, or join with --suffix",
        )
    if len(lower) > MOST_FIELDS:
        raise InputError(
            "FITS table",
            where=path,
            rule=f"have at most {MOST_FIELDS} columns",
            found=len(lower),
            remedy="write .vot or .parquet",
        )
    units, ucds = frame.attrs.get("units", {}), frame.attrs.get("ucds", {})
    columns = [_field(name, frame[name], units.get(name), path) for name in names]
    with warnings.catch_warnings():
        # hide warnings on names and units that the FITS standard does not recommend but allows
        warnings.filterwarnings("ignore", module="astropy")
        unit = fits.BinTableHDU.from_columns(columns, nrows=len(frame))
        for place, name in enumerate(names, start=1):
            if name in ucds:
                unit.header[f"TUCD{place}"] = ucds[name]
    return unit


def _field(name: str, column: pd.Series, unit: str | None, path: Path) -> Any:
    """Return one column of a data frame as a column of a FITS table."""
    from astropy.io import fits

    column = _in_known_type(column, f"{path}, column {name}")
    kind = str(column.dtype)
    if kind == "Int64":
        values = column.to_numpy(np.int64, na_value=NO_INTEGER)
        return fits.Column(name, "K", unit, null=NO_INTEGER, array=values)
    if kind in _CODES:
        return fits.Column(name, _CODES[kind], unit, array=column.to_numpy())
    if kind == "uint64":
        return fits.Column(name, "K", unit, bzero=2**63, array=column.to_numpy())
    texts = texts_of(column).to_numpy(object)
    if kind == "boolean":
        # store booleans with missing values as letters, because astropy cannot write FITS's missing
        # boolean
        texts = np.where(column.isna(), "", np.where(column.fillna(False), "T", "F"))
    try:
        encoded = np.array([text.encode("ascii") for text in texts], dtype="S")
    except UnicodeEncodeError as error:
        raise InputError(
            "FITS cannot hold this text",
            where=f"{path}, column {name}",
            rule="be ASCII",
            found=error.object,
            remedy="write .vot or .parquet",
        ) from None
    return fits.Column(name, f"{max(1, encoded.dtype.itemsize)}A", unit, array=encoded)


def _in_known_type(column: pd.Series, where: str) -> pd.Series:
    """Convert a column of numbers to a type that can be written; leave columns of text as they are.

    Returns
    -------
    Series
        Of bool, boolean, int64, Int64 (if an integer is missing), uint64, float32 or float64; or of
        any other type, whose values are written as text: also numbers that fit none of these types.

    Raises
    ------
    InputError
        Numbers of the column are complex.
    """
    if isinstance(column.dtype, pd.SparseDtype):
        column = pd.Series(column.to_numpy())
    if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype == object:
        column = _of_objects(column.astype(object))
    stored: Any = column.dtype
    kind, gaps = stored.kind, bool(column.isna().any())
    if kind == "c" or (kind == "O" and pd.api.types.infer_dtype(column) == "complex"):
        raise InputError(
            "numbers of this type cannot be written",
            where=where,
            rule="be integers or floats",
            found="complex numbers",
            remedy="write the real and the imaginary part as two columns",
        )
    if kind == "b":
        return column.astype("boolean" if gaps else "bool")
    if kind == "f" and stored.itemsize <= 8:
        wide = np.float64 if stored.itemsize == 8 else np.float32
        return pd.Series(column.to_numpy(wide, na_value=np.nan))
    if kind in "iu":
        return _integers(column, gaps)
    return column


def _of_objects(column: pd.Series) -> pd.Series:
    """Convert a column of Python objects to the type of its numbers, if the type holds them all."""
    found = pd.api.types.infer_dtype(column, skipna=True)
    known = column[column.notna()]
    if found == "boolean":
        return column.astype("boolean")
    if found == "integer":
        low, high = int(known.min()), int(known.max())
        if -(2**63) <= low and high < 2**63:
            return column.astype("Int64")
        return column.astype("UInt64") if low >= 0 and high < 2**64 else column
    if found in ("floating", "mixed-integer-float") and all(map(_is_exact_float, known)):
        return pd.Series(column.to_numpy(np.float64, na_value=np.nan))
    return column


def _is_exact_float(number: Any) -> bool:
    """Return whether float64 represents a number with all its digits."""
    if isinstance(number, int | np.integer):
        return abs(int(number)) <= 2**53
    return not isinstance(number, np.longdouble)


def _integers(column: pd.Series, gaps: bool) -> pd.Series:
    """Return a column of integers as int64, as uint64 if so stored, or as Int64 if one is missing.

    Python objects, which are written as text, are returned if one integer is missing and another
    is not within the range of int64 or is the one that marks missing integers in FITS.
    """
    if not gaps:
        stored: Any = column.dtype
        wide = stored.kind == "u" and stored.itemsize == 8
        return column.astype("uint64" if wide else "int64")
    known = column.dropna()
    if len(known) and not NO_INTEGER < int(known.min()) <= int(known.max()) < 2**63:
        return column.astype(object)
    return column.astype("Int64")


def write_votable(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table as a VOTable (in BINARY2 format, which marks every missing value).

    Parameters
    ----------
    frame : DataFrame
        Columns of numbers, booleans or text; `attrs["units"]` and `attrs["ucds"]` become unit and
        ucd. VOTable has no unsigned 64-bit integers: a column with one of 2^63 or more is decimal
        text.
    path : Path
        File to write.

    Raises
    ------
    InputError
        Two columns have one name, or numbers are complex.
    OutputError
        The file cannot be written at this path.
    """
    from astropy.io.votable import from_table, writeto
    from astropy.table import MaskedColumn, Table

    require_names(frame, path)
    units, ucds = frame.attrs.get("units", {}), frame.attrs.get("ucds", {})
    table = Table()
    for name in map(str, frame):
        values, gaps = _cells(_in_known_type(frame[name], f"{path}, column {name}"))
        column = MaskedColumn(values, name=name, mask=gaps, unit=units.get(name))
        column.meta = {"ucd": ucds[name]} if name in ucds else {}
        table.add_column(column)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="astropy")
        document = from_table(table)
        with written_whole(path) as temporary:
            writeto(document, str(temporary), tabledata_format="binary2")
    return path


def _cells(column: pd.Series) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return a column's values in a type that VOTable supports, and which values are missing."""
    kind, gaps = str(column.dtype), column.isna().to_numpy()
    if kind in ("float32", "float64"):
        return column.to_numpy(), np.zeros_like(gaps)
    small = kind == "uint64" and int(column.max() if len(column) else 0) < 2**63
    if kind in ("int64", "Int64") or small:
        return column.to_numpy(np.int64, na_value=0), gaps
    if kind in ("bool", "boolean"):
        return column.to_numpy(bool, na_value=False), gaps
    texts = np.array(texts_of(column).to_numpy(object).tolist(), dtype=str)
    try:
        return texts.astype("S"), gaps
    except UnicodeEncodeError:
        return texts, gaps
