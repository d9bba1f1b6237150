"""Tables are read as they were written: cell by cell, or refused by line and column."""

from __future__ import annotations

import decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from gzfeatures.errors import InputError
from gzfeatures.galaxies.ids import as_ids, as_keys
from gzfeatures.galaxies.tables import plain, read_table, write_csv, write_table

BIG = 588017605758025732
ROWS = [f"{BIG + k},{180 + k},{k},{0.01 * (k + 1):.2f}" for k in range(6)]


def csv(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def notes(frame: pd.DataFrame) -> str:
    return "; ".join(frame.attrs["notes"])


# numbers


def test_whole_numbers_with_gaps_stay_whole(tmp_path: Path) -> None:
    table = pa.table({"objid": ["a", "b", "c"], "bin": pa.array([3, None, 5], pa.int16()), "parent": [BIG, None, 1]})
    pq.write_table(table, tmp_path / "t.parquet")
    frame = read_table(tmp_path / "t.parquet")
    assert str(frame["bin"].dtype) == "Int64" and frame["bin"].tolist() == [3, pd.NA, 5]
    assert frame["parent"].tolist()[0] == str(BIG) and pd.isna(frame["parent"][1])
    frame = read_table(csv(tmp_path, "objid,bin", "a,3", "b,", "c,5"))
    assert str(frame["bin"].dtype) == "Int64" and frame["bin"].tolist() == [3, pd.NA, 5]


def test_unsigned_and_negative_ids_keep_sign_and_digits(tmp_path: Path) -> None:
    large, below = 2**64 - 5, -842_000_000_000_000_123
    table = pa.table(
        {"object_id": pa.array([large, None, 7], pa.uint64()), "other": pa.array([large, 1, 2], pa.uint64())}
    )
    pq.write_table(table.append_column("tile", pa.array([below, below + 1, 3])), tmp_path / "t.parquet")
    frame = read_table(tmp_path / "t.parquet")
    assert frame["object_id"].tolist()[0] == str(large) and frame["other"].tolist() == [large, 1, 2]
    write_csv(frame, tmp_path / "t.csv")
    again = read_table(tmp_path / "t.csv", id_column="tile")
    assert again["object_id"].tolist()[0] == str(large) and again["tile"].tolist() == [str(below), str(below + 1), "3"]
    assert again["other"].tolist() == [large, 1, 2]


def test_decimals_halves_nulls_and_dictionaries_are_what_they_hold(tmp_path: Path) -> None:
    table = pa.table(
        {
            "objid": pa.array([decimal.Decimal(BIG), decimal.Decimal(5)], pa.decimal128(20, 0)),
            "count": pa.array([decimal.Decimal(3), None], pa.decimal128(10, 0)),
            "z": pa.array([decimal.Decimal("0.10"), None], pa.decimal128(10, 2)),
            "half": pa.array(np.array([0.1, 2], np.float16)),
            "nothing": pa.nulls(2),
            "survey": pa.array(["x", None]).dictionary_encode(),
            "name": pa.array(["None", "NA"], pa.large_string()),
            "when": pa.array([0, None], pa.timestamp("s")),
            "vector": pa.array([[1, 2], [3]]),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    frame = read_table(tmp_path / "t.parquet")
    assert frame["objid"].tolist() == [str(BIG), "5"]
    assert frame["count"].tolist() == [3, pd.NA]
    np.testing.assert_array_equal(frame["z"], [0.1, np.nan])
    assert frame["half"].tolist() == [0.1, 2]
    assert frame["nothing"].dtype == np.float64 and frame["nothing"].isna().all()
    assert frame["survey"][0] == "x" and pd.isna(frame["survey"][1])
    assert frame["name"].tolist() == ["None", "NA"]
    assert frame["when"][0].startswith("1970-01-01") and pd.isna(frame["when"][1])
    assert "vector" not in frame and "nested columns are left out: vector" in notes(frame)


# what is masked


def test_the_mask_beside_a_column_of_parquet_hides_its_values(tmp_path: Path) -> None:
    table = Table({"objid": [1, 2, 3]})
    table["z"] = MaskedColumn([0.1, 0.2, 0.3], mask=[False, True, False])
    table["n"] = MaskedColumn([7, 8, 9], mask=[True, False, False])
    table.write(tmp_path / "t.parquet")
    frame = read_table(tmp_path / "t.parquet")
    np.testing.assert_array_equal(frame["z"], [0.1, np.nan, 0.3])
    assert frame["n"].tolist() == [pd.NA, 8, 9] and list(frame) == ["objid", "z", "n"]
    assert "z.mask is the mask of z: 1 values are missing" in notes(frame)


def test_null_is_told_before_a_column_is_scaled(tmp_path: Path) -> None:
    stored = np.array([80, -32768, 120], np.int16)
    column = fits.Column("redshift", "I", array=stored, null=-32768)
    unit = fits.BinTableHDU.from_columns([fits.Column("objid", "K", array=[1, 2, 3]), column])
    unit.header["TSCAL2"] = 0.001
    unit.writeto(tmp_path / "t.fits")
    np.testing.assert_allclose(read_table(tmp_path / "t.fits")["redshift"], [0.08, np.nan, 0.12])


def test_the_table_of_a_fits_file_that_has_ids_is_read(tmp_path: Path) -> None:
    history = fits.BinTableHDU(Table({"name": ["a", "b"]}), name="HISTORY")
    catalog = fits.BinTableHDU(Table({"objid": [1, 2], "z": [0.1, 0.2]}), name="CATALOG")
    fits.HDUList([fits.PrimaryHDU(), history, catalog]).writeto(tmp_path / "t.fits")
    frame = read_table(tmp_path / "t.fits")
    assert frame["objid"].tolist() == ["1", "2"] and "CATALOG" in notes(frame)
    fits.HDUList([fits.PrimaryHDU(), history, history.copy()]).writeto(tmp_path / "none.fits")
    with pytest.raises(InputError, match=r"no table of the file has an id column; must have galaxy_id .*HISTORY"):
        read_table(tmp_path / "none.fits")
    assert read_table(tmp_path / "none.fits", id_column="name")["name"].tolist() == ["a", "b"]


# ids


@pytest.mark.parametrize("lost", ["1.237678598634734e+18", "1.23768E+18", "1237678598634734000.0", "9.9e15"])
def test_ids_that_lost_their_digits_are_refused_where_they_are_used(tmp_path: Path, lost: str) -> None:
    frame = read_table(csv(tmp_path, "objid,z", f"{lost},0.1", "1.237678598634735e+18,0.2"))
    assert frame["z"].tolist() == [0.1, 0.2]
    for use in (as_ids, as_keys):
        with pytest.raises(InputError, match=r"row 0: id is not a whole number or is too large .*name another id"):
            use(frame["objid"])
    with pytest.raises(InputError, match=r"row 1: id has lost its last digits"):
        as_ids(["J1", "1.2376e+18"])


def test_ids_of_a_spreadsheet_that_keeps_fifteen_digits_are_refused(tmp_path: Path) -> None:
    rows = [f"{123767859863473 + k}0000,{k}" for k in range(4)]
    with pytest.raises(InputError, match="too large for a float"):
        as_ids(read_table(csv(tmp_path, "objid,n", *rows))["objid"])
    assert read_table(csv(tmp_path, "objid,n", *rows, f"{BIG},9"))["objid"].tolist()[-1] == str(BIG)


def test_whole_floats_blanks_and_quotes_are_no_part_of_an_id(tmp_path: Path) -> None:
    assert read_table(csv(tmp_path, "objid,n", "100521.0,1", "1.00522e+05,2", ",3"))["objid"].tolist()[:2] == [
        "100521",
        "100522",
    ]
    frame = read_table(csv(tmp_path, "objid,n", '"=""587""",1', "'588,2", " 589  ,3", "'590',4", "null,5"))
    assert frame["objid"].tolist()[:4] == ["587", "588", "589", "590"] and pd.isna(frame["objid"][4])
    assert read_table(csv(tmp_path, "objid,n", "007,1", "1e5,2"))["objid"].tolist() == ["007", "1e5"]


def test_any_column_can_be_asked_for_as_ids(tmp_path: Path) -> None:
    path = csv(tmp_path, "TARGETID,z", f"{BIG},0.1", "007,0.2")
    assert read_table(path, id_column="TARGETID")["TARGETID"].tolist() == [str(BIG), "007"]


# the shape of a CSV


def test_a_comma_behind_every_row_moves_no_column(tmp_path: Path) -> None:
    frame = read_table(csv(tmp_path, "objid,ra,dec,z", *(f"{row}," for row in ROWS)))
    assert list(frame) == ["objid", "ra", "dec", "z"] and frame["objid"][0] == str(BIG) and frame["z"][0] == 0.01
    with pytest.raises(InputError, match=r"t.csv, line 7: cell beyond the last column; must have 4 cells.*found x"):
        read_table(csv(tmp_path, "objid,ra,dec,z", *(f"{row}," for row in ROWS[:5]), f"{ROWS[5]},x"))


@pytest.mark.parametrize("row", ["1,2,3", "1,2,3,4,5", "1"])
def test_a_row_of_another_length_is_named_by_its_line(tmp_path: Path, row: str) -> None:
    with pytest.raises(InputError, match=rf"t.csv, line 8: row has another number of cells; .*: {row}; correct"):
        read_table(csv(tmp_path, "objid,ra,dec,z", *ROWS, row))


@pytest.mark.parametrize(
    ("below", "what"),
    [
        (["long,double,double,double"], "types"),
        (["bigint,float,float,real"], "types"),
        ([",deg,deg,"], "units"),
        (["long,double,double,double", ",deg,deg,"], "units"),
        (["------,-----,------,-----"], "a ruler"),
    ],
)
def test_types_and_units_below_the_header_are_no_galaxies(tmp_path: Path, below: list[str], what: str) -> None:
    frame = read_table(csv(tmp_path, "objid,ra,dec,redshift", *below, *ROWS))
    assert len(frame) == 6 and frame["redshift"].dtype == np.float64 and frame["objid"][0] == str(BIG)
    assert f"holds {what} and is left out" in notes(frame)


def test_a_row_of_words_among_numbers_is_refused_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2: row is no galaxy; must hold numbers.*found who,knows,what,this"):
        read_table(csv(tmp_path, "objid,ra,dec,z", "who,knows,what,this", *ROWS))
    with pytest.raises(InputError, match="line 8: row is no galaxy"):
        read_table(csv(tmp_path, "objid,ra,dec,z", *ROWS, "Total,,,"))
    with pytest.raises(InputError, match="line 8: header stands twice"):
        read_table(csv(tmp_path, "objid,ra,dec,z", *ROWS, "objid,ra,dec,z", *ROWS))


@pytest.mark.parametrize("footer", ["(40 rows affected)", "(6 rows affected),,,", "# end of file", "6 rows"])
def test_words_that_end_a_file_are_no_galaxy(tmp_path: Path, footer: str) -> None:
    frame = read_table(csv(tmp_path, "objid,ra,dec,redshift", *ROWS, "", footer))
    assert len(frame) == 6 and frame["redshift"].dtype == np.float64
    assert "is no galaxy and is left out: " in notes(frame) and footer.strip(",") in notes(frame)
    assert len(read_table(csv(tmp_path, "objid", "1", "2", "3", "4", "(4 rows affected)"))) == 4


@pytest.mark.parametrize("head", [["#Table1", "objid,ra,dec,z"], ["# from a server", "", "# objid, ra, dec, z"]])
def test_lines_before_the_header_are_left_out(tmp_path: Path, head: list[str]) -> None:
    frame = read_table(csv(tmp_path, *head, *ROWS))
    assert list(frame) == ["objid", "ra", "dec", "z"] and len(frame) == 6 and "begin with #" in notes(frame)


def test_words_for_missing_among_numbers_are_missing_and_in_text_are_text(tmp_path: Path) -> None:
    frame = read_table(csv(tmp_path, "objid,z,n,label", "1,0.1,1,None", "2,--,NA,spiral", "3,null,3,NA", "4,0.4,4,"))
    np.testing.assert_array_equal(frame["z"], [0.1, np.nan, np.nan, 0.4])
    assert frame["n"].tolist() == [1, pd.NA, 3, 4]
    assert frame["label"].tolist()[:3] == ["None", "spiral", "NA"] and pd.isna(frame["label"][3])


def test_two_columns_of_one_name_are_told_apart_and_told(tmp_path: Path) -> None:
    frame = read_table(csv(tmp_path, "objid,z,z,ra,ra", "1,0.1,0.2,5,5", "2,0.3,0.4,6,6"))
    assert list(frame) == ["objid", "z", "z.1", "ra"] and frame["z.1"].tolist() == [0.2, 0.4]
    assert "two columns are called z: the second is read as z.1; column ra stands twice" in notes(frame)
    with pytest.raises(InputError, match="two id columns have one name and differ, found objid"):
        read_table(csv(tmp_path, "objid,objid", "1,2", "2,1"))


def test_quotes_newlines_and_blanks_of_csv(tmp_path: Path) -> None:
    frame = read_table(csv(tmp_path, "objid,label,z", 'a, "x, y", 0.1', 'b,"two\nlines",0.2', 'c,"said ""so""",.3'))
    assert frame["label"].tolist() == ["x, y", "two\nlines", 'said "so"'] and frame["z"].tolist() == [0.1, 0.2, 0.3]
    assert read_table(csv(tmp_path, "﻿objid,z", "1,2"))["objid"].tolist() == ["1"]
    assert len(read_table(csv(tmp_path, "objid,z"))) == 0


def test_codes_keep_their_zeros_and_names_their_digits(tmp_path: Path) -> None:
    frame = read_table(csv(tmp_path, "objid,code,parent,hex", f"a,007,{BIG},0x1F", "b,010,1.5,0x20"))
    assert frame["code"].tolist() == ["007", "010"] and frame["parent"].tolist() == [str(BIG), "1.5"]
    assert frame["hex"].tolist() == ["0x1F", "0x20"]


# out again


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_what_is_written_comes_back(tmp_path: Path, ending: str) -> None:
    frame = plain(
        pd.DataFrame(
            {
                "galaxy_id": ["=1", "-842", "'x"],
                "label": ["None", None, "-a"],
                "n": pd.array([1, None, 3], dtype="Int64"),
                "big": np.array([1, 2, 2**64 - 1], np.uint64),
                "z": [0.1, np.nan, 1e-300],
                "flag": [True, False, True],
            }
        )
    )
    pd.testing.assert_frame_equal(read_table(write_table(frame, tmp_path / f"t{ending}")), frame)
