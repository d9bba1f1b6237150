"""Write and read columns of predictions as CSV, Parquet or FITS, by the file's ending."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.files import written_whole
from gzfeatures.outputs import seal_parquet
from gzfeatures.tablefiles.tables import fits_units, unguarded, write_csv

TEXTS = ("galaxy_id", "predicted_class", "predicted_labels", "class_set", "empty_because")
"""Columns that hold text, even if their cells look like numbers."""


def kind_of(path: Path) -> str:
    """Return the file format (CSV, Parquet, FITS) that a file name's ending means."""
    for ending, kind in {
        ".csv": "CSV",
        ".csv.gz": "CSV",
        ".parquet": "Parquet",
        ".fits": "FITS",
    }.items():
        if path.name.lower().endswith(ending):
            return kind
    raise InputError(
        "unknown kind of file", where=path, rule="end in .csv, .csv.gz, .parquet or .fits"
    )


def _write_csv(columns: Mapping[str, npt.NDArray[Any]], path: Path) -> None:
    write_csv(pd.DataFrame(dict(columns)), path)


def _read_csv(path: Path) -> pd.DataFrame:
    # pandas before version 3 reads the last digit of a number exactly only with this option, and
    # from version 3 on it warns about the option
    exact: dict[str, Any] = (
        {"float_precision": "round_trip"} if int(pd.__version__.split(".")[0]) < 3 else {}
    )
    frame: pd.DataFrame = pd.read_csv(
        path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, **exact
    )
    frame = frame.rename(columns=lambda name: unguarded(str(name)))
    return frame.assign(**{name: frame[name].map(unguarded) for name in TEXTS if name in frame})


def _write_parquet(columns: Mapping[str, npt.NDArray[Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(dict(columns))
    with (
        written_whole(path) as temporary,
        pq.ParquetWriter(
            temporary, table.schema, compression="zstd", write_page_checksum=True
        ) as writer,
    ):
        writer.write_table(table)
        seal_parquet(writer, temporary)


def _read_parquet(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path, page_checksum_verification=True)


def _write_fits(columns: Mapping[str, npt.NDArray[Any]], path: Path) -> None:
    encoded_columns: dict[str, npt.NDArray[Any]] = {}
    for name, values in columns.items():
        encoded = np.char.encode(values.astype(str), "utf-8") if values.dtype == object else values
        lost = values.dtype == object and (
            np.char.decode(encoded, "utf-8") != np.char.rstrip(values.astype(str))
        )
        # the name and its quotes stand in one header card of 80 characters (FITS standard 4.0, 4.2)
        named = name.isascii() and name.isprintable() and len(name.replace("'", "''")) <= 68
        if not named or np.any(lost):
            raise InputError(
                "FITS cannot hold this text", where=path, found=name, remedy="write Parquet instead"
            )
        encoded_columns[name] = encoded
    with _fits_tables() as table, written_whole(path) as temporary:
        table(encoded_columns).write(temporary, format="fits", overwrite=True)


def _read_fits(path: Path) -> pd.DataFrame:
    with _fits_tables() as table, fits_units(path, "predictions file") as units:
        read = table.read(units, format="fits")
        unknown = _unknown_flags(units)
    read.convert_bytestring_to_unicode()
    frame = pd.DataFrame(
        {
            name: np.asarray(read[name]).astype(read[name].dtype.newbyteorder("="))
            for name in read.colnames
        }
    )
    for name, mask in unknown.items():
        frame[name] = frame[name].astype(object).mask(mask, None)
    return frame


def _unknown_flags(units: Any) -> dict[str, npt.NDArray[np.bool_]]:
    """Return where logical columns of the first table have neither T nor F, (n,) by name.

    FITS marks such an unknown value by a zero byte, which astropy reads as False.
    """
    table = next(unit for unit in units if hasattr(unit, "columns"))
    stored = table.data.view(np.ndarray)
    masks: dict[str, npt.NDArray[np.bool_]] = {}
    for place, column in enumerate(table.columns):
        if str(column.format).upper() in ("L", "1L"):
            letters = stored[stored.dtype.names[place]].view(np.uint8)
            mask = ~np.isin(letters, (ord("T"), ord("F")))
            if mask.any():
                masks[str(column.name)] = mask
    return masks


@contextmanager
def _fits_tables() -> Iterator[Any]:
    """Yield astropy's table class, without warnings about hyphens in column names."""
    # import astropy's tables late, because the import takes half a second and only FITS needs it
    from astropy.table import Table
    from astropy.utils.exceptions import AstropyWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        yield Table


WRITERS = {"CSV": _write_csv, "Parquet": _write_parquet, "FITS": _write_fits}
READERS = {"CSV": _read_csv, "Parquet": _read_parquet, "FITS": _read_fits}
