"""WRITERS: every way in which other tools write a table, each fed with the same columns of typed
Python values."""

from __future__ import annotations

import dataclasses
import decimal
import gzip
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import MaskedColumn, Table

FORMATS = {
    "FITS": ".fits",
    "FITS.gz": ".fits.gz",
    "CSV": ".csv",
    "CSV.gz": ".csv.gz",
    "Parquet": ".parquet",
    "Feather": ".feather",
    "VOTable": ".vot",
    "ECSV": ".ecsv",
    "HDF5": ".h5",
}


class CannotWrite(Exception):
    """The writer has no such format or type; the reason is its text."""


@dataclasses.dataclass(frozen=True)
class Column:
    """Values of one column, None = missing.

    Parameters
    ----------
    name : str
        Column name.
    type : str
        int64, int32, uint64, float64, float32, text, decimal, or `scaled`: an int16 by TSCAL 0.001
        with TNULL.
    values : list
        Python values.
    big_endian : bool
        Whether the bytes of a number are stored the other way round.
    """

    name: str
    type: str
    values: list[Any]
    big_endian: bool = False

    @property
    def missing(self) -> np.ndarray:
        return np.array([value is None for value in self.values])

    def numpy(self) -> np.ndarray:
        """As a NumPy array, with something else in the place of what is missing."""
        if self.type in ("decimal", "scaled"):
            raise CannotWrite(f"NumPy has no {self.type}")
        if self.type == "text":
            return np.array([value or "" for value in self.values])
        hidden = np.nan if self.type.startswith("float") else 99
        array = np.array(
            [hidden if value is None else value for value in self.values], dtype=self.type
        )
        return array.astype(array.dtype.newbyteorder(">")) if self.big_endian else array

    def arrow(self) -> pa.Array:
        """As an Arrow array."""
        if self.type == "scaled" or self.big_endian:
            raise CannotWrite(
                "Arrow has no scaled columns" if self.type == "scaled" else "Arrow is little-endian"
            )
        kinds = {"text": pa.string(), "decimal": pa.decimal128(20, 3)}
        return pa.array(self.values, kinds.get(self.type) or pa.type_for_alias(self.type))


def _astropy(columns: list[Column], path: Path, kind: str) -> None:
    if any(column.type == "scaled" for column in columns):
        if not kind.startswith("FITS"):
            raise CannotWrite("scaled columns are of FITS")
        _scaled_fits(columns, path)
        return
    table = Table()
    for column in columns:
        missing = column.missing
        table[column.name] = (
            MaskedColumn(column.numpy(), mask=missing) if missing.any() else column.numpy()
        )
    options: dict[str, Any] = {
        "CSV": {"format": "ascii.csv"},
        "ECSV": {"format": "ascii.ecsv"},
        "VOTable": {"format": "votable"},
        "HDF5": {"path": "data", "serialize_meta": True},
    }.get(kind, {})
    if kind in ("CSV.gz", "Feather"):
        raise CannotWrite(f"astropy does not write {kind}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            table.write(path, **options)
        except (TypeError, ValueError) as error:
            raise CannotWrite(f"astropy says: {error}") from None


def _scaled_fits(columns: list[Column], path: Path) -> None:
    parts = []
    for column in columns:
        if column.type == "scaled":
            stored = [-32768 if value is None else round(value / 0.001) for value in column.values]
            parts.append(
                fits.Column(column.name, "I", null=-32768, array=np.array(stored, np.int16))
            )
        else:
            parts.append(fits.Column(column.name, "20A", array=column.numpy()))
    unit = fits.BinTableHDU.from_columns(parts)
    for place, column in enumerate(columns, 1):
        if column.type == "scaled":
            unit.header[f"TSCAL{place}"] = 0.001
    unit.writeto(path)


def _pandas(columns: list[Column], path: Path, kind: str, nullable: bool = False) -> None:
    data: dict[str, Any] = {}
    for column in columns:
        if column.type == "scaled" or (column.big_endian and not kind.startswith("CSV")):
            raise CannotWrite("pandas has no scaled or big-endian columns here")
        if nullable and column.type[:3] in ("int", "uin", "flo"):
            name = (
                column.type.replace("uint", "UInt")
                if column.type[0] == "u"
                else column.type.capitalize()
            )
            data[column.name] = pd.array(column.values, dtype=name)
        elif column.type in ("text", "decimal"):
            data[column.name] = pd.Series(
                column.values, dtype=object if column.type == "decimal" else "str"
            )
        else:  # as NumPy has no missing integers, pandas makes floats of them
            data[column.name] = pd.Series(column.values) if column.missing.any() else column.numpy()
    frame = pd.DataFrame(data)
    if kind in ("CSV", "CSV.gz"):
        frame.to_csv(path, index=False)
    elif kind == "Parquet":
        frame.to_parquet(path)
    elif kind == "Feather":
        frame.to_feather(path)
    else:
        raise CannotWrite(f"pandas does not write {kind} (HDF5 needs PyTables)")


def _polars(columns: list[Column], path: Path, kind: str) -> None:
    kinds = {
        "int64": pl.Int64, "int32": pl.Int32, "uint64": pl.UInt64, "float64": pl.Float64,
        "float32": pl.Float32,
        "text": pl.String, "decimal": pl.Decimal(20, 3),
    }  # fmt: skip
    if any(column.type not in kinds or column.big_endian for column in columns):
        raise CannotWrite("polars has no scaled or big-endian columns")
    frame = pl.DataFrame(
        [pl.Series(column.name, column.values, kinds[column.type]) for column in columns]
    )
    if kind == "CSV":
        frame.write_csv(path)
    elif kind == "CSV.gz":
        with gzip.open(path, "wb") as file:
            frame.write_csv(file)
    elif kind == "Parquet":
        frame.write_parquet(path)
    elif kind == "Feather":
        frame.write_ipc(path)
    else:
        raise CannotWrite(f"polars does not write {kind}")


def _duckdb(columns: list[Column], path: Path, kind: str) -> None:
    kinds = {
        "int64": "BIGINT", "int32": "INTEGER", "uint64": "UBIGINT", "float64": "DOUBLE",
        "float32": "REAL",
        "text": "VARCHAR", "decimal": "DECIMAL(20, 3)",
    }  # fmt: skip
    if any(column.type not in kinds or column.big_endian for column in columns):
        raise CannotWrite("DuckDB has no scaled or big-endian columns")
    options = {
        "CSV": "FORMAT csv",
        "CSV.gz": "FORMAT csv, COMPRESSION gzip",
        "Parquet": "FORMAT parquet",
    }
    if kind not in options:
        raise CannotWrite(f"DuckDB does not write {kind}")
    with duckdb.connect() as database:
        typed = ", ".join(f'"{column.name}" {kinds[column.type]}' for column in columns)
        database.execute(f"CREATE TABLE t ({typed})")
        marks = ", ".join("?" for _ in columns)
        plain = (
            [value.item() if isinstance(value, np.float32) else value for value in c.values]
            for c in columns
        )
        database.executemany(f"INSERT INTO t VALUES ({marks})", list(zip(*plain, strict=True)))
        database.execute(f"COPY t TO '{path}' ({options[kind]})")


def _pyarrow(columns: list[Column], path: Path, kind: str) -> None:
    table = pa.table({column.name: column.arrow() for column in columns})
    if kind == "CSV":
        pa.csv.write_csv(table, path)
    elif kind == "CSV.gz":
        with pa.CompressedOutputStream(str(path), "gzip") as file:
            pa.csv.write_csv(table, file)
    elif kind == "Parquet":
        pq.write_table(table, path)
    elif kind == "Feather":
        pa.feather.write_feather(table, path)
    else:
        raise CannotWrite(f"pyarrow does not write {kind}")


def _numpy(columns: list[Column], path: Path, kind: str) -> None:
    if kind not in ("CSV", "CSV.gz", "HDF5"):
        raise CannotWrite(f"NumPy and h5py do not write {kind}")
    if any(column.missing.any() and not column.type.startswith("float") for column in columns):
        raise CannotWrite("NumPy has no missing integers or texts")
    if kind == "HDF5":
        with h5py.File(path, "w") as file:
            for column in columns:
                values = column.numpy()
                file[column.name] = values.astype("S") if column.type == "text" else values
        return
    table = np.rec.fromarrays(
        [column.numpy() for column in columns], names=[column.name for column in columns]
    )
    formats = {"text": "%s", "int64": "%d", "int32": "%d", "uint64": "%d"}
    formats |= {"float64": "%.17g", "float32": "%.9g"}
    head = ",".join(column.name for column in columns)
    np.savetxt(path, table, fmt=",".join(formats[column.type] for column in columns), header=head)


Writer = Callable[[list[Column], Path, str], None]
WRITERS: dict[str, Writer] = {
    "astropy": _astropy,
    "pandas": _pandas,
    "pandas, nullable": lambda columns, path, kind: _pandas(columns, path, kind, nullable=True),
    "polars": _polars,
    "DuckDB": _duckdb,
    "pyarrow": _pyarrow,
    "NumPy, h5py": _numpy,
}

BIG = 588017605758025732
N = 6
_GALAXIES = Column("galaxy_id", "text", [f"g{row}" for row in range(N)])
_FRACTION = [0.469, None, 0.1, 1e-300, -2.5, 1 / 3]

KINDS: dict[str, list[Column]] = {
    "int64 id with null": [
        Column("objid", "int64", [BIG, None, BIG + 1, BIG + 2, 7, -1]),
        Column("parent", "int64", [None, BIG + 3, BIG + 4, BIG + 5, BIG + 6, BIG + 7]),
    ],
    "uint64": [
        Column("objid", "uint64", [2**64 - 1 - row for row in range(N)]),
        Column("parent", "uint64", [2**63 + row for row in range(N)]),
    ],
    "negative id": [
        Column("object_id", "int64", [-842_000_000_000_000_123 - row for row in range(N)]),
        Column("tile", "int64", [-(2**63) + row for row in range(N)]),
    ],
    "masked int": [
        Column("bin", "int32", [3, None, 0, -5, 999, 2**31 - 1]),
        Column("n", "int64", [None, 1, 2, 3, 4, 5]),
    ],
    "masked float": [
        Column("z", "float64", _FRACTION),
        Column(
            "f", "float32", [None, *(np.float32(value) for value in (0.469, 1e30, -2.5, 1 / 3, 0))]
        ),
    ],
    "decimal": [
        Column(
            "mag",
            "decimal",
            [None, *map(decimal.Decimal, ("0.100", "-21.500", "17.777", "3.000", "0.469"))],
        ),
        Column("count", "decimal", [decimal.Decimal(f"{row}.000") for row in range(N)]),
    ],
    "scaled with null": [Column("z", "scaled", [0.083, None, -0.001, 1.5, 32.767, 0.0])],
    "big-endian": [
        Column("objid", "int64", [BIG + row for row in range(N)], big_endian=True),
        Column(
            "ra",
            "float32",
            [np.float32(value) for value in (0.1, 359.9, 12.345678, 1, 2, 3)],
            big_endian=True,
        ),
        Column("dec", "float64", [0.1, -89.9, 1 / 3, 1, 2, 3], big_endian=True),
    ],
    'string "None"': [
        Column("label", "text", ["None", "NA", "nan", "spiral", "N/A", "-"]),
        Column("other", "text", ["null", "a b", "x, y", 'said "so"', "007", "1e5"]),
    ],
    "wide table": [
        *(Column(f"f{k}", "float64", [k + row / 7 for row in range(N)]) for k in range(150)),
        *(Column(f"n{k}", "int64", [k * 10**9 + row for row in range(N)]) for k in range(150)),
    ],
}
"""Kind of column → the columns that are written beside `galaxy_id`."""
ROWS = _GALAXIES
