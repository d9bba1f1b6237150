"""Tables on disk, whatever their format, as columns of four plain kinds: text, int64, float64 and bool.

The same table gives the same columns from FITS, CSV or Parquet: byte order is the machine's, fixed-width strings lose
their padding, a single-precision number becomes the short decimal it was written from (so that a cut at 0.469 means the
same in both formats), integers never pass through a float, and columns that hold ids are text.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from gzfeatures.errors import InputError, reading
from gzfeatures.files import existing, written_whole
from gzfeatures.fitsheader import judged
from gzfeatures.galaxies.ids import require_text

ID_COLUMNS = (
    "galaxy_id",
    "GalaxyID",
    "asset_id",
    "dr7objid",
    "dr8objid",
    "objid",
    "OBJID",
    "iauname",
    "id_str",
    "dr8_id",
    "specobjid",
    "id",
)
"""Columns that hold ids, read as text; the first that a table has names its galaxies."""

_MAX_EXACT = 2**53


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a FITS(.gz), CSV(.gz) or Parquet table.

    Parameters
    ----------
    path : str or Path
        The ending tells the format: .fits, .fit, .csv, each also with .gz; .parquet, .pq.

    Returns
    -------
    DataFrame
        Columns are str, int64, float64 or bool; a missing value is NaN. A FITS vector column `v` becomes v_0, v_1, …

    Raises
    ------
    MissingFileError
        It is not there.
    InputError
        The ending is unknown, or the file cannot be read.
    """
    file = existing(path, "catalog")
    ending = "".join(file.name.lower().removesuffix(".gz").rpartition(".")[1:])
    if ending not in _READERS:
        raise InputError(
            "unknown kind of table", where=file, rule=f"end in {', '.join(_READERS)} (or .gz)", found=ending
        )
    with reading("catalog cannot be read", file, remedy="fetch it again; it may be cut short or another format"):
        return _READERS[ending](file)


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table in columns of text, int64, float64 or bool (see the module)."""
    return pd.DataFrame({str(name): _plain_column(str(name), frame[name]) for name in frame.columns}, index=frame.index)


def _plain_column(name: str, column: pd.Series) -> Any:
    is_id = name in ID_COLUMNS
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_bool_dtype(column.dtype) and not column.hasnans:
        return column.astype(bool)
    if pd.api.types.is_integer_dtype(column.dtype):
        missing = column.isna()
        if is_id or (missing.any() and (column.dropna().abs() > _MAX_EXACT).any()):
            return column.astype("str").where(~missing)
        return column.astype("float64" if missing.any() else "int64")
    if pd.api.types.is_float_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        if is_id and np.isfinite(values).all() and (np.abs(values) < _MAX_EXACT).all() and (values % 1 == 0).all():
            return pd.Series(values.astype(np.int64), index=column.index).astype("str")
        return _decimal(column.to_numpy()) if column.dtype in (np.float32, np.float16) else values
    if column.dtype == object:
        require_text([value for value in column if isinstance(value, str)], where=f"column {name}")
    text = column.map(lambda v: v.decode("utf-8", "replace").rstrip(" \0") if isinstance(v, bytes) else v)
    return text.astype("str")


def _decimal(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Single precision to the double nearest to its shortest decimal: float32 0.469 gives 0.469."""
    single = values.astype(np.float32)
    return np.asarray(pa.array(single).cast(pa.string()).cast(pa.float64()).to_numpy(zero_copy_only=False))


def _read_csv(path: Path) -> pd.DataFrame:
    return plain(pd.read_csv(path, dtype=dict.fromkeys(ID_COLUMNS, "str"), skipinitialspace=True, low_memory=False))


def _read_parquet(path: Path) -> pd.DataFrame:
    return plain(pd.read_parquet(path))


@contextmanager
def fits_units(path: Path, what: str = "catalog") -> Iterator[Any]:
    """Header and data units of a FITS file, in memory, after its headers were judged; it is closed in any case.

    What astropy opens itself it leaves open where a header is not what it expects.
    """
    from astropy.io import fits

    with judged(path, what=what) as file, fits.open(file, memmap=False) as units:
        yield units


def _read_fits(path: Path) -> pd.DataFrame:
    from astropy.io import fits
    from astropy.table import Table

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="astropy")  # odd units and headers do not touch the numbers
        with fits_units(path) as units:
            tables = [unit for unit in units if isinstance(unit, fits.BinTableHDU | fits.TableHDU)]
            if not tables:
                raise ValueError("it holds no table")
            table = Table.read(tables[0], format="fits")
        columns: dict[str, Any] = {}
        for column in table.itercols():
            if column.ndim == 1:
                columns[column.name] = column
            else:
                flat = column.reshape(len(column), -1)
                columns |= {f"{column.name}_{part}": flat[:, part] for part in range(flat.shape[1])}
        frame = Table(columns).to_pandas()
    return plain(frame)


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".fits": _read_fits,
    ".fit": _read_fits,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
}


_RUN = ("=", "+", "-", "@", "\t", "\r", "'")


def write_table(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a table as .parquet, .csv or .csv.gz (see `write_csv`).

    Raises
    ------
    InputError
        Another ending.
    OutputError
        The place cannot be written.
    """
    path = Path(path)
    if path.name.endswith((".csv", ".csv.gz")):
        return write_csv(frame, path)
    if path.suffix != ".parquet":
        raise InputError("unknown kind of file", where=path, rule="end in .parquet, .csv or .csv.gz")
    with written_whole(path) as temporary:
        frame.to_parquet(temporary, index=False)
    return path


def guarded(text: str) -> str:
    """Text that no spreadsheet runs: what begins like a formula, or like a guarded text, gets an apostrophe."""
    return "'" + text if text.startswith(_RUN) else text


def unguarded(text: str) -> str:
    """Inverse of `guarded`; an apostrophe before anything else is part of the text."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_RUN) else text


def write_csv(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a table as CSV(.gz), texts and column names guarded against being run as formulas.

    Raises
    ------
    OutputError
        The place cannot be written.
    """
    texts = [name for name in frame if frame[name].dtype.kind not in "biuf"]
    safe = frame.assign(**{str(name): [guarded(str(value)) for value in frame[name]] for name in texts})
    with written_whole(Path(path)) as temporary:
        safe.rename(columns=guarded).to_csv(temporary, index=False, lineterminator="\n")
    return Path(path)
