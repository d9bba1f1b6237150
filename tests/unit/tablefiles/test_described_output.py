"""Numbers of every type stay numbers in FITS and VOTable, or are refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table

from gzfeatures.errors import InputError
from gzfeatures.tablefiles.tables import read_table, write_table

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", ">i2", ">i4", ">i8"]
NULLABLE = ["Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"]
FLOATS = ["float16", "float32", "float64", ">f4", ">f8", "Float32", "Float64"]


def again(column: object, path: Path) -> pd.Series:
    """The column after one way through a file."""
    frame = pd.DataFrame({"galaxy_id": ["a", "b", "c"], "x": column})
    return read_table(write_table(frame, path))["x"]


@pytest.fixture(params=["t.fits", "t.vot"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


@pytest.mark.parametrize("kind", [*INTEGERS, *NULLABLE, "int32[pyarrow]", "uint8[pyarrow]"])
def test_integers_stay_integers(kind: str, path: Path) -> None:
    found = again(pd.Series([1, 2, 127]).astype(kind), path)
    assert found.dtype == np.int64 and found.tolist() == [1, 2, 127]


@pytest.mark.parametrize("kind", [*NULLABLE, "int32[pyarrow]"])
def test_a_missing_integer_is_missing_and_the_others_are_exact(kind: str, path: Path) -> None:
    found = again(pd.Series([1, None, 127], dtype="Int64").astype(kind), path)
    assert found.isna().tolist() == [False, True, False]
    assert found[0] == 1 and found[2] == 127 and pd.api.types.is_numeric_dtype(found.dtype)
    with_objects = again(pd.Series([1, None, 127], dtype=object), path)
    pd.testing.assert_series_equal(with_objects, found)


@pytest.mark.parametrize("kind", [*FLOATS, "float[pyarrow]", "double[pyarrow]"])
def test_floats_stay_floats_and_a_missing_one_is_nan(kind: str, path: Path) -> None:
    found = again(pd.Series([0.5, None, 3.0]).astype(kind), path)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [0.5, np.nan, 3.0])
    three = pd.Series([3.1, -1e-7, 2.0]).astype("float32")
    np.testing.assert_array_equal(again(three, path).astype("float32"), three)


@pytest.mark.parametrize("kind", ["bool", "boolean", "bool[pyarrow]", "object"])
def test_booleans_stay_booleans(kind: str, path: Path) -> None:
    found = again(pd.Series([True, False, True]).astype(kind), path)
    assert found.dtype == bool and found.tolist() == [True, False, True]


def test_categories_and_objects_are_written_by_what_they_hold(path: Path) -> None:
    numbers = again(pd.Categorical([1.5, None, 2.5]), path)
    np.testing.assert_array_equal(numbers, [1.5, np.nan, 2.5])
    assert again(pd.Categorical(["E", "S", "E"]), path).tolist() == ["E", "S", "E"]
    assert again(pd.Series([1, "two", 3], dtype=object), path).tolist() == ["1", "two", "3"]
    assert again(pd.Series([2**60, 1, 3], dtype=object), path).tolist() == [2**60, 1, 3]
    assert again(pd.arrays.SparseArray([0.5, 0, 0]), path).tolist() == [0.5, 0, 0]
    found = again(pd.Series([2**64 - 1, 1, 3], dtype="uint64"), path).tolist()
    assert found == ([2**64 - 1, 1, 3] if path.suffix == ".fits" else [str(2**64 - 1), "1", "3"])


WIDE = {
    "70 bits": pd.Series([2**70, 1, 3], dtype=object),
    "mixed": pd.Series([2**53 + 1, 2.5, 1], dtype=object),
    "64 bits and a gap": pd.Series([2**64 - 1, None, 1], dtype="UInt64"),
    "64 bits, a gap, objects": pd.Series([np.uint64(2**63 + 5), None, 1], dtype=object),
    "both signs": pd.Series([-1, 2**64 - 1, 1], dtype=object),
    "the mark and a gap": pd.Series([-(2**63), None, 1], dtype="Int64"),
    "long double": pd.Series(np.array([1, 2, 3], np.longdouble) / 3),
    "long double objects": pd.Series(list(np.array([1, 2, 3], np.longdouble) / 3), dtype=object),
    "decimal": pd.Series([Decimal("1.50"), None, Decimal(2)], dtype=object),
}


@pytest.mark.parametrize("column", WIDE.values(), ids=WIDE.keys())
def test_numbers_that_fit_no_type_are_text_with_every_digit(column: pd.Series, path: Path) -> None:
    frame = pd.DataFrame({"x": column})
    stored = Table.read(write_table(frame, path))["x"]
    assert stored.dtype.kind in "SUO"
    found = ["" if text is np.ma.masked else str(text) for text in stored]
    assert found == ["" if pd.isna(value) else str(value) for value in column]


@pytest.mark.parametrize("kind", [None, object])
def test_complex_numbers_are_refused_by_their_column(kind: type | None, path: Path) -> None:
    with pytest.raises(InputError, match=r"column x: numbers of this type cannot be written"):
        again(pd.Series([1 + 0j, 2j, 3j], dtype=kind), path)
    assert not path.exists()


@pytest.mark.parametrize(
    "column", [[1.5, None, 2], [1.5, pd.NA, 2.0], [np.float32(1.5), pd.NA, 2**53]]
)
def test_objects_that_are_floats_and_integers_are_floats(column: list[object], path: Path) -> None:
    found = again(pd.Series(column, dtype=object), path)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1.5, np.nan, column[2]])


def test_objects_of_64_bits_are_written_as_such_integers_are(path: Path) -> None:
    column = pd.Series([2**64 - 1, 1, np.uint64(2**63 + 5)])
    found = again(column.astype(object), path)
    pd.testing.assert_series_equal(found, again(column.astype("uint64"), path))
    assert [int(value) for value in found] == [2**64 - 1, 1, 2**63 + 5]


@pytest.mark.parametrize("name", ["t.fits", "t.vot", "t.csv", "t.parquet"])
def test_two_columns_of_one_name_are_refused(name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame([["a", 1, 2]], columns=["galaxy_id", "x", "x"])
    with pytest.raises(InputError, match="have one name"):
        write_table(frame, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_other_programs_find_float32_as_stored(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.array([3.1], "f4"), "n": np.array([1], "i4")})
    with fits.open(write_table(frame, tmp_path / "t.fits")) as units:
        assert units[1].columns.formats == ["E", "K"]
        assert units[1].data["x"][0] == np.float32(3.1)
    table = Table.read(write_table(frame, tmp_path / "t.vot"))
    assert (table["x"].dtype, table["n"].dtype) == (np.float32, np.int64)
