"""Read tables in any format into plain pandas columns, and write tables.

All tables are read here. `read_table` and `plain` return a DataFrame whose columns have one of
these dtypes, and no other:

========= ==========================================================================
`str`     text, and every id; a missing value is NaN
`int64`   whole numbers without a gap; `uint64` where one is 2^63 or more
`Int64`   whole numbers with gaps, all of them up to 2^53, so that `to_numpy(float)`
          is exact, NaN = missing
`float64` numbers, NaN = missing; also a column without any value
`bool`    flags; `boolean` where some are missing
========= ==========================================================================

- **Integers never pass through a float.** A column with gaps and whole numbers beyond 2^53 contains
  names: it becomes exact decimal text. A DECIMAL column without decimals becomes integers, one with
  decimals the nearest doubles.
- **Ids are text.** The columns of `ID_COLUMNS`, and the column that the caller names, hold decimal
  text with every digit, without the blanks and the quotes of a spreadsheet; `100521.0` is `100521`.
  An id column whose digits the file lost (floats of 2^53 or more, a spreadsheet's zeros after the
  15th digit) stays `float64`: `as_ids` refuses it, the other columns are usable. Any other column
  that serves as a key goes through `ids.as_keys`, which refuses it for the same reason.
- **Masked values are missing values.** Integers are compared with TNULL before TSCAL scales them; a
  column `name.mask` of astropy's Parquet masks values of column `name` and is then left out.
- **Words.** In text a word such as `None` or `NA` stays unchanged (only an empty cell of a CSV or
  FITS file is missing); among numbers and among ids the words of `MISSING_WORDS` are missing.
- **A row is a galaxy, a cell belongs to its column.** A row of another length than the header is
  refused by its line.
- A single-precision number becomes the short decimal it was written from, so that a cut at 0.469
  means the same in every format; byte order is the machine's; text of fixed width loses its
  padding; dates are ISO 8601 text.
- `frame.attrs["notes"]` is a list of sentences that say what was left out or renamed (nested
  columns, a row of units, one name for two columns); `frame.attrs["units"]` has the units that the
  file gives, `frame.attrs["ucds"]` the meanings (UCD) of FITS, VOTable and ECSV, and
  `frame.attrs["integers"]` the integer types of those columns that are text here, but integers in
  the file.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gzfeatures.errors import InputError, parsing
from gzfeatures.files import require_csv, require_file, written_whole
from gzfeatures.id_text import MISSING_WORDS
from gzfeatures.ids import require_text
from gzfeatures.outputs import seal_parquet
from gzfeatures.tablefiles import described_output
from gzfeatures.tablefiles.arrow_file import read_feather, read_parquet
from gzfeatures.tablefiles.arrow_output import without_attributes
from gzfeatures.tablefiles.astropy_file import read_ecsv, read_votable
from gzfeatures.tablefiles.csv.file import read_csv
from gzfeatures.tablefiles.fits_file import fits_units, read_fits
from gzfeatures.tablefiles.hdf5_file import read_hdf5
from gzfeatures.tablefiles.raw_table import RawTable

__all__ = [
    "ID_COLUMNS",
    "MISSING_WORDS",
    "fits_units",
    "guarded",
    "id_column_of",
    "plain",
    "read_table",
    "unguarded",
    "write_csv",
    "write_table",
]

ID_COLUMNS = (
    "galaxy_id",
    "GalaxyID",
    "asset_id",
    "dr7objid",
    "dr8objid",
    "objid",
    "OBJID",
    "objID",
    "iauname",
    "id_str",
    "dr8_id",
    "object_id",
    "OBJECT_ID",
    "source_id",
    "SOURCE_ID",
    "specobjid",
    "specObjID",
    "SPECOBJID",
    "id",
)
"""Names of id columns, all read as text; the first that a table has gives its galaxies' ids."""


def id_column_of(columns: Collection[str], wanted: str | None = None) -> str | None:
    """Return the id column of a table: the wanted one, else the first usual one; None if absent.

    A wanted column that is absent does not matter: the user names it for several files, and a file
    that gzfeatures wrote has ids in `galaxy_id` only.

    Examples
    --------
    >>> id_column_of(["id", "number"], "number"), id_column_of(["galaxy_id"], "number")
    ('number', 'galaxy_id')
    """
    names = ID_COLUMNS if wanted is None else (wanted, *ID_COLUMNS)
    return next((name for name in names if name in columns), None)


def read_table(
    path: str | Path,
    *,
    id_column: str | None = None,
    keys: Collection[str] = (),
    texts: Collection[str] = (),
) -> pd.DataFrame:
    """Read a table in any format that astronomers exchange.

    Parameters
    ----------
    path : str or Path
        The file's ending gives the format: .fits, .fit, .csv, .tsv, .ecsv, .vot, .votable, .xml,
        each also with .gz; .parquet, .pq; .feather, .arrow; .h5, .hdf5. A folder is read as
        Parquet files, partitioned or not, or as a HATS catalog.
    id_column : str, optional
        A further column of ids, beside those of `ID_COLUMNS`.
    keys : collection of str
        Still further columns of ids.
    texts : collection of str
        Columns of a text file whose cells stay as they are written, words such as NA too; a column
        of `ID_COLUMNS` among them is no id.

    Returns
    -------
    DataFrame
        Columns as the module's docstring lists them. A FITS vector column `v` becomes v_0, v_1, …

    Raises
    ------
    MissingFileError
        The path does not exist.
    InputError
        The ending is unknown, the file cannot be read, a row is not as long as the header or is no
        galaxy, or two id columns of one name differ.

    Examples
    --------
    >>> read_table("gz2_hart16.csv.gz")["dr7objid"][0]  # doctest: +SKIP
    '587732591714893851'
    """
    file = require_file(path, "catalog")
    ending = "".join(file.name.lower().removesuffix(".gz").rpartition(".")[1:])
    if file.is_dir():
        ending = ".parquet"
    if ending not in _READERS:
        raise InputError(
            "unknown kind of table",
            where=file,
            rule=f"end in {', '.join(_READERS)} (or .gz)",
            found=ending,
        )
    usual = [name for name in ID_COLUMNS if name not in texts]
    id_columns = (*(() if id_column is None else (id_column,)), *usual, *keys)
    with parsing(
        "catalog cannot be read",
        file,
        remedy="fetch it again; it may be cut short or another format",
    ):
        try:
            return _READERS[ending](file, id_columns, texts).frame(id_columns, file)
        except pa.ArrowNotImplementedError as error:
            # Arrow cannot read this type of column, for example Int128
            raise InputError(
                "table holds a type that cannot be read",
                where=file,
                found=str(error),
                remedy="cast its columns to Int64, Float64 or String and write it again",
            ) from error
        except pa.ArrowMemoryError as error:  # a damaged file may declare absurdly long columns
            raise ValueError(f"it asks for more memory than there is: {error}") from error


def plain(frame: pd.DataFrame, *, id_column: str | None = None) -> pd.DataFrame:
    """Convert the columns of a pandas data frame to plain text, integers, floats and booleans."""
    names = [str(name) for name in frame.columns]
    raw = RawTable(names, [_arrow(frame.iloc[:, place], name) for place, name in enumerate(names)])
    id_columns = ID_COLUMNS if id_column is None else (id_column, *ID_COLUMNS)
    return raw.frame(id_columns, "memory").set_axis(frame.index, axis=0)


def _arrow(column: pd.Series, name: str) -> Any:
    """Return a pandas column as an Arrow array; a column of mixed Python objects becomes text."""
    if isinstance(column.dtype, np.dtype) and not column.dtype.isnative:
        column = column.astype(column.dtype.newbyteorder("="))
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError, ValueError):
        values = [
            value.decode("utf-8", "replace").rstrip(" \0") if isinstance(value, bytes) else value
            for value in column
        ]
        require_text([value for value in values if isinstance(value, str)], where=f"column {name}")
        missing = column.isna().to_numpy()
        return pa.array(
            [None if gone else str(value) for value, gone in zip(values, missing, strict=True)]
        )


def _read_csv(path: Path, id_columns: tuple[str, ...], texts: Collection[str]) -> RawTable:
    with _opened(path) as file:
        is_ecsv = file.read(7) == b"# %ECSV"
    return (
        read_ecsv(path, id_columns) if is_ecsv else read_csv(path, (*id_columns, *texts), unguarded)
    )


def _typed(read: Callable[[Path, tuple[str, ...]], RawTable]) -> Callable[..., RawTable]:
    """Return `read` as a function that accepts a list of text columns and ignores it.

    Only CSV files need this list: other formats store the type of each column.
    """
    return lambda path, id_columns, _: read(path, id_columns)


def _opened(path: Path) -> Any:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


_READERS: dict[str, Callable[[Path, tuple[str, ...], Collection[str]], RawTable]] = {
    ".fits": _typed(read_fits),
    ".fit": _typed(read_fits),
    ".csv": _read_csv,
    ".parquet": lambda path, *_: read_parquet(path),
    ".pq": lambda path, *_: read_parquet(path),
    ".feather": lambda path, *_: read_feather(path),
    ".arrow": lambda path, *_: read_feather(path),
    ".ecsv": _typed(read_ecsv),
    ".vot": _typed(read_votable),
    ".votable": _typed(read_votable),
    ".xml": _typed(read_votable),
    ".h5": _typed(read_hdf5),
    ".hdf5": _typed(read_hdf5),
    ".tsv": _read_csv,
}
"""File ending → function that reads such a file; a folder is read as .parquet."""


# a text that begins with one of these gets an apostrophe: a spreadsheet could run the text as a
# formula (in East Asia also after full-width signs), and programs skip lines that begin with #
_RUN = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'", "#")


def write_table(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a table as .parquet, .csv, .csv.gz, .fits or .vot; FITS and VOTable get units and UCDs.

    Raises
    ------
    InputError
        The path has another ending, or FITS cannot store the table (see `described_output`).
    OutputError
        The file cannot be written at this path.
    """
    path = Path(path)
    if path.name.endswith((".csv", ".csv.gz")):
        return write_csv(frame, path)
    if path.suffix == ".fits":
        return described_output.write_fits(frame, path)
    if path.suffix == ".vot":
        return described_output.write_votable(frame, path)
    if path.suffix != ".parquet":
        raise InputError(
            "unknown kind of file",
            where=path,
            rule="end in .parquet, .csv, .csv.gz, .fits or .vot",
        )
    described_output.require_names(frame, path)
    with written_whole(path) as temporary:
        # drop `frame.attrs`, such as units in the file that was read: Arrow would write them into
        # the new file
        table = pa.Table.from_pandas(without_attributes(frame), preserve_index=False)
        with pq.ParquetWriter(temporary, table.schema) as writer:
            writer.write_table(table)
            seal_parquet(writer, temporary)
    return path


_SIGNED = re.compile(r"[+-](\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def guarded(text: str) -> str:
    """Return a text that no spreadsheet runs as a formula and no program skips as a comment.

    An apostrophe is put before a text that begins like a formula, a comment or a guarded text. A
    signed number is no formula: an id such as -842 and a declination such as +5.25 stay unchanged.

    Examples
    --------
    >>> guarded("=1+1"), guarded("-842"), guarded("+5.25")
    ("'=1+1", '-842', '+5.25')
    """
    return "'" + text if text.startswith(_RUN) and not _SIGNED.fullmatch(text) else text


def unguarded(text: str) -> str:
    """Remove the apostrophe that `guarded` put before a text; keep any other apostrophe."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_RUN) else text


def write_csv(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a table as CSV; texts and column names that look like formulas get an apostrophe.

    A missing value is an empty cell.

    Raises
    ------
    InputError
        The name ends neither in .csv nor in .csv.gz, or two columns have one name.
    OutputError
        The file cannot be written at this path.
    """
    path = require_csv(path, "table to write")
    described_output.require_names(frame, path)
    texts = [name for name in frame if frame[name].dtype.kind not in "biuf"]
    safe = frame.assign(**{str(name): _guarded_column(frame[name]) for name in texts})
    # quote all texts if one contains "\r": Python's csv does not quote "\r" if lines end with "\n";
    # a spreadsheet would begin a new row there, whose first cell could be a formula
    returns = any("\r" in str(name) for name in safe) or any(
        safe[name].astype("str").str.contains("\r", regex=False, na=False).any() for name in texts
    )
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    with written_whole(path) as temporary:
        safe.rename(columns=guarded).to_csv(
            temporary, index=False, lineterminator="\n", quoting=quoting
        )
    return path


def _guarded_column(column: pd.Series) -> pd.Series:
    missing = column.isna().to_numpy()
    texts = [
        None if gone else guarded(str(value)) for value, gone in zip(column, missing, strict=True)
    ]
    return pd.Series(texts, index=column.index, dtype=object)
