"""Tables are read as they were written: cell by cell, or refused by line and column."""

from __future__ import annotations

import decimal
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from gzfeatures.errors import InputError
from gzfeatures.ids import as_ids, as_keys
from gzfeatures.tablefiles.tables import plain, read_table, write_csv, write_table

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
    table = pa.table(
        {
            "objid": ["a", "b", "c"],
            "bin": pa.array([3, None, 5], pa.int16()),
            "parent": [BIG, None, 1],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    frame = read_table(tmp_path / "t.parquet")
    assert str(frame["bin"].dtype) == "Int64" and frame["bin"].tolist() == [3, pd.NA, 5]
    assert frame["parent"].tolist()[0] == str(BIG) and pd.isna(frame["parent"][1])
    frame = read_table(csv(tmp_path, "objid,bin", "a,3", "b,", "c,5"))
    assert str(frame["bin"].dtype) == "Int64" and frame["bin"].tolist() == [3, pd.NA, 5]


def test_unsigned_and_negative_ids_keep_sign_and_digits(tmp_path: Path) -> None:
    large, below = 2**64 - 5, -842_000_000_000_000_123
    table = pa.table(
        {
            "object_id": pa.array([large, None, 7], pa.uint64()),
            "other": pa.array([large, 1, 2], pa.uint64()),
        }
    )
    pq.write_table(
        table.append_column("tile", pa.array([below, below + 1, 3])), tmp_path / "t.parquet"
    )
    frame = read_table(tmp_path / "t.parquet")
    assert frame["object_id"].tolist()[0] == str(large) and frame["other"].tolist() == [large, 1, 2]
    write_csv(frame, tmp_path / "t.csv")
    again = read_table(tmp_path / "t.csv", id_column="tile")
    assert again["object_id"].tolist()[0] == str(large) and again["tile"].tolist() == [
        str(below),
        str(below + 1),
        "3",
    ]
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
            "bytes": pa.array([b"x ", None], pa.binary_view()),
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
    assert (
        frame["bytes"][0] == "x"
        and "vector" not in frame
        and "nested columns are left out: vector" in notes(frame)
    )


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


@pytest.mark.parametrize(
    "flags", [pa.array([0, 1, 0], pa.uint8()), pa.array([0, 1, 0]), pa.array([0.0, 1.0, 0.0])]
)
def test_a_mask_of_zeros_and_ones_hides_values_as_one_of_booleans(
    tmp_path: Path, flags: pa.Array
) -> None:
    views = pa.array(["x", "y", "z"], pa.string_view())
    table = pa.table(
        {"objid": [1, 2, 3], "z": [0.1, 0.2, 0.3], "z.mask": flags, "t": views, "t.mask": flags}
    )
    feather.write_feather(table, tmp_path / "t.feather")
    frame = read_table(tmp_path / "t.feather")
    assert list(frame) == ["objid", "z", "t"] and frame["t"].isna().tolist() == [False, True, False]
    np.testing.assert_array_equal(frame["z"], [0.1, np.nan, 0.3])


@pytest.mark.parametrize("content", [[0, 1, 2], ["no", "yes", "no"], [0.5, 0.0, 1.0]])
def test_a_column_that_is_called_a_mask_and_holds_none_is_said(
    tmp_path: Path, content: list[object]
) -> None:
    pq.write_table(
        pa.table({"objid": [1, 2, 3], "z": [0.1, 0.2, 0.3], "z.mask": content}),
        tmp_path / "t.parquet",
    )
    frame = read_table(tmp_path / "t.parquet")
    assert frame["z.mask"].tolist() == content and frame["z"].tolist() == [0.1, 0.2, 0.3]
    assert (
        notes(frame) == "z.mask is no mask of z, for it holds more than 0 and 1: it hides nothing"
    )


@pytest.mark.parametrize("ending", ["feather", "arrow", "parquet"])
def test_categories_of_polars_are_the_words_they_stand_for(tmp_path: Path, ending: str) -> None:
    words = ["spiral", None, "smooth", "spiral"]
    enum = pl.Series(words, dtype=pl.Enum(["smooth", "spiral"]))
    table = pl.DataFrame(
        {"objid": list("abcd"), "c": pl.Series(words, dtype=pl.Categorical), "e": enum}
    )
    path = tmp_path / f"t.{ending}"
    table.write_parquet(path) if ending == "parquet" else table.write_ipc(path)
    frame = read_table(path).fillna("missing")
    assert frame["c"].tolist() == frame["e"].tolist() == ["spiral", "missing", "smooth", "spiral"]


def test_a_type_that_arrow_does_not_read_is_no_damage(tmp_path: Path) -> None:
    wide = pl.DataFrame({"objid": ["a"], "n": pl.Series([1], dtype=pl.Int128)})
    wide.write_ipc(tmp_path / "t.feather")
    wide.write_parquet(tmp_path / "t.parquet")
    for name in ("t.feather", "t.parquet"):
        with pytest.raises(
            InputError, match=r"type that cannot be read, .*64 bits.*; cast its columns to Int64"
        ):
            read_table(tmp_path / name)


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
    with pytest.raises(
        InputError, match=r"no table of the file has an id column; must have galaxy_id .*HISTORY"
    ):
        read_table(tmp_path / "none.fits")
    assert read_table(tmp_path / "none.fits", id_column="name")["name"].tolist() == ["a", "b"]


# ids


@pytest.mark.parametrize(
    "lost", ["1.237678598634734e+18", "1.23768E+18", "1237678598634734000.0", "9.9e15"]
)
def test_ids_that_lost_their_digits_are_refused_where_they_are_used(
    tmp_path: Path, lost: str
) -> None:
    frame = read_table(csv(tmp_path, "objid,z", f"{lost},0.1", "1.237678598634735e+18,0.2"))
    assert frame["z"].tolist() == [0.1, 0.2]
    for use in (as_ids, as_keys):
        with pytest.raises(
            InputError, match=r"row 0: id is not a whole number or is too large .*name another id"
        ):
            use(frame["objid"])
    with pytest.raises(InputError, match=r"row 1: id has lost its last digits"):
        as_ids(["J1", "1.2376e+18"])


def test_ids_in_short_floats_are_refused_where_these_stand_for_several(tmp_path: Path) -> None:
    for kind, exact, lost in ((np.float32, 2**24 - 1, 2**24 + 2), (np.float16, 2047, 4096)):
        pq.write_table(pa.table({"objid": np.array([1, exact], kind)}), tmp_path / "t.parquet")
        assert read_table(tmp_path / "t.parquet")["objid"].tolist() == ["1", str(exact)]
        pq.write_table(pa.table({"objid": np.array([1, lost], kind)}), tmp_path / "t.parquet")
        with pytest.raises(
            InputError, match="row 1: id is not a whole number or is too large for a float"
        ):
            as_ids(read_table(tmp_path / "t.parquet")["objid"])


def test_the_row_of_a_bad_key_is_that_of_the_file() -> None:
    with pytest.raises(InputError, match="keys, row 2: id is not a whole number"):
        as_keys(pd.Series([1.0, np.nan, 1e18]))


def test_ids_of_a_spreadsheet_that_keeps_fifteen_digits_are_refused(tmp_path: Path) -> None:
    rows = [f"{123767859863473 + k}0000,{k}" for k in range(4)]
    with pytest.raises(InputError, match="too large for a float"):
        as_ids(read_table(csv(tmp_path, "objid,n", *rows))["objid"])
    assert read_table(csv(tmp_path, "objid,n", *rows, f"{BIG},9"))["objid"].tolist()[-1] == str(BIG)


def test_whole_floats_blanks_and_quotes_are_no_part_of_an_id(tmp_path: Path) -> None:
    assert read_table(csv(tmp_path, "objid,n", "100521.0,1", "1.00522e+05,2", ",3"))[
        "objid"
    ].tolist()[:2] == [
        "100521",
        "100522",
    ]
    frame = read_table(
        csv(tmp_path, "objid,n", '"=""587""",1', "'588,2", " 589  ,3", "'590',4", "null,5")
    )
    assert frame["objid"].tolist()[:4] == ["587", "588", "589", "590"] and pd.isna(
        frame["objid"][4]
    )
    assert read_table(csv(tmp_path, "objid,n", "007,1", "1e5,2"))["objid"].tolist() == [
        "007",
        "1e5",
    ]


def test_any_column_can_be_asked_for_as_ids(tmp_path: Path) -> None:
    path = csv(tmp_path, "TARGETID,z", f"{BIG},0.1", "007,0.2")
    assert read_table(path, id_column="TARGETID")["TARGETID"].tolist() == [str(BIG), "007"]


# the shape of a CSV


def test_a_comma_behind_every_row_moves_no_column(tmp_path: Path) -> None:
    frame = read_table(csv(tmp_path, "objid,ra,dec,z", *(f"{row}," for row in ROWS)))
    assert (
        list(frame) == ["objid", "ra", "dec", "z"]
        and frame["objid"][0] == str(BIG)
        and frame["z"][0] == 0.01
    )
    with pytest.raises(
        InputError, match=r"t.csv, line 7: cell beyond the last column; must have 4 cells.*found x"
    ):
        read_table(
            csv(tmp_path, "objid,ra,dec,z", *(f"{row}," for row in ROWS[:5]), f"{ROWS[5]},x")
        )


@pytest.mark.parametrize("row", ["1,2,3", "1,2,3,4,5", "1"])
def test_a_row_of_another_length_is_named_by_its_line(tmp_path: Path, row: str) -> None:
    with pytest.raises(
        InputError, match=rf"t.csv, line 8: row has another number of cells; .*: {row}; correct"
    ):
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
def test_types_and_units_below_the_header_are_no_galaxies(
    tmp_path: Path, below: list[str], what: str
) -> None:
    frame = read_table(csv(tmp_path, "objid,ra,dec,redshift", *below, *ROWS))
    assert (
        len(frame) == 6 and frame["redshift"].dtype == np.float64 and frame["objid"][0] == str(BIG)
    )
    assert f"holds {what} and is left out" in notes(frame)


def test_a_row_of_words_among_numbers_is_refused_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"line 2: row is no galaxy; must hold numbers.*found who,knows,what,this"
    ):
        read_table(csv(tmp_path, "objid,ra,dec,z", "who,knows,what,this", *ROWS))
    with pytest.raises(InputError, match="line 8: row is no galaxy"):
        read_table(csv(tmp_path, "objid,ra,dec,z", *ROWS, "Total,,,"))
    with pytest.raises(InputError, match="line 8: header is repeated"):
        read_table(csv(tmp_path, "objid,ra,dec,z", *ROWS, "objid,ra,dec,z", *ROWS))


@pytest.mark.parametrize(
    "footer", ["(40 rows affected)", "(6 rows affected),,,", "# end of file", "6 rows"]
)
def test_words_that_end_a_file_are_no_galaxy(tmp_path: Path, footer: str) -> None:
    frame = read_table(csv(tmp_path, "objid,ra,dec,redshift", *ROWS, "", footer))
    assert len(frame) == 6 and frame["redshift"].dtype == np.float64
    assert "is no galaxy and is left out: " in notes(frame) and footer.strip(",") in notes(frame)
    assert len(read_table(csv(tmp_path, "objid", "1", "2", "3", "4", "(4 rows affected)"))) == 4


@pytest.mark.parametrize(
    "head", [["#Table1", "objid,ra,dec,z"], ["# from a server", "", "# objid, ra, dec, z"]]
)
def test_lines_before_the_header_are_left_out(tmp_path: Path, head: list[str]) -> None:
    frame = read_table(csv(tmp_path, *head, *ROWS))
    assert (
        list(frame) == ["objid", "ra", "dec", "z"]
        and len(frame) == 6
        and "begin with #" in notes(frame)
    )


@pytest.mark.parametrize(
    "comment", ["#2,151,2,.3", "# bad night", '# he said "bad, ', '#2,"151', " # 2,151,2,.3", "#"]
)
@pytest.mark.parametrize("place", [0, 1, 4, 6])
def test_a_comment_among_the_rows_is_no_galaxy(tmp_path: Path, comment: str, place: int) -> None:
    rows = [*ROWS[:place], comment, comment, *ROWS[place:]]
    frame = read_table(csv(tmp_path, "objid,ra,dec,z", *rows))
    assert (
        frame["objid"].tolist() == [row.split(",")[0] for row in ROWS]
        and frame["ra"].dtype == np.int64
    )
    said = [
        f"line {place + number} is no galaxy and is left out: {comment.strip()}"
        for number in (2, 3)
    ]
    assert frame.attrs["notes"] == said
    with pytest.raises(InputError, match=r"t.csv, line 10: row has another number of cells"):
        read_table(csv(tmp_path, "objid,ra,dec,z", *rows, "7,8"))
    with pytest.raises(InputError, match=r"t.csv, line 10: row is no galaxy"):
        read_table(csv(tmp_path, "objid,ra,dec,z", *rows, "x,here,there,far"))


def test_what_begins_with_a_hash_within_quotes_is_a_cell(tmp_path: Path) -> None:
    frame = read_table(csv(tmp_path, "objid,note", '"#1","one', '# two"', "2,#3", "#4,x"))
    assert frame["objid"].tolist() == ["#1", "2"] and frame["note"].tolist() == ["one\n# two", "#3"]
    many = csv(tmp_path, "objid,ra,dec,z", *["# x"] * 14, *ROWS)
    assert len(read_table(many)) == 6 and "4 more lines that begin with # are left out" in notes(
        read_table(many)
    )


@pytest.mark.parametrize("mark", ["\t", ";", "|"])
def test_other_separators_are_those_of_the_header(tmp_path: Path, mark: str) -> None:
    """As VizieR writes it: comments, names, units, a ruler."""
    lines = ["objid,ra,dec,redshift", ",deg,deg,", "------,-----,------,-----", *ROWS]
    frame = read_table(csv(tmp_path, "# VizieR", *(line.replace(",", mark) for line in lines)))
    assert (
        list(frame) == ["objid", "ra", "dec", "redshift"]
        and len(frame) == 6
        and frame["redshift"][0] == 0.01
    )
    assert read_table(csv(tmp_path, f"sep={mark}", f"objid{mark}z", f"1{mark}0.5"))[
        "z"
    ].tolist() == [0.5]


def test_words_for_missing_among_numbers_are_missing_and_in_text_are_text(tmp_path: Path) -> None:
    frame = read_table(
        csv(
            tmp_path, "objid,z,n,label", "1,0.1,1,None", "2,--,NA,spiral", "3,null,3,NA", "4,0.4,4,"
        )
    )
    np.testing.assert_array_equal(frame["z"], [0.1, np.nan, np.nan, 0.4])
    assert frame["n"].tolist() == [1, pd.NA, 3, 4]
    assert frame["label"].tolist()[:3] == ["None", "spiral", "NA"] and pd.isna(frame["label"][3])


def test_two_columns_of_one_name_are_told_apart_and_told(tmp_path: Path) -> None:
    frame = read_table(csv(tmp_path, "objid,z,z,ra,ra", "1,0.1,0.2,5,5", "2,0.3,0.4,6,6"))
    assert list(frame) == ["objid", "z", "z.1", "ra"] and frame["z.1"].tolist() == [0.2, 0.4]
    assert "two columns are called z: the second is read as z.1; column ra stands twice" in notes(
        frame
    )
    with pytest.raises(InputError, match="two id columns have one name and differ, found objid"):
        read_table(csv(tmp_path, "objid,objid", "1,2", "2,1"))


def test_quotes_newlines_and_blanks_of_csv(tmp_path: Path) -> None:
    frame = read_table(
        csv(tmp_path, "objid,label,z", 'a, "x, y", 0.1', 'b,"two\nlines",0.2', 'c,"said ""so""",.3')
    )
    assert frame["label"].tolist() == ["x, y", "two\nlines", 'said "so"'] and frame[
        "z"
    ].tolist() == [0.1, 0.2, 0.3]
    assert read_table(csv(tmp_path, "﻿objid,z", "1,2"))["objid"].tolist() == ["1"]
    assert len(read_table(csv(tmp_path, "objid,z"))) == 0


def test_a_comma_behind_some_rows_moves_no_column(tmp_path: Path) -> None:
    frame = read_table(csv(tmp_path, "objid,ra,dec,z", f"{ROWS[0]},", *ROWS[1:]))
    assert list(frame) == ["objid", "ra", "dec", "z"] and frame["z"].tolist()[:2] == [0.01, 0.02]
    assert list(read_table(csv(tmp_path, "objid,ra,", "1,2,", "2,3,"))) == ["objid", "ra"]
    assert list(read_table(csv(tmp_path, "objid,ra,", "1,2", "2,3"))) == ["objid", "ra"]


def test_a_column_of_nothing_but_nan_is_a_column_of_numbers(tmp_path: Path) -> None:
    frame = read_table(csv(tmp_path, "objid,z,label", "1,nan,NA", "2,NaN,None"))
    assert (
        frame["z"].dtype == np.float64
        and frame["z"].isna().all()
        and frame["label"].tolist() == ["NA", "None"]
    )


def test_a_quote_that_swallows_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"t.csv, line 3: quotes do not match, found unexpected end of data"
    ):
        read_table(csv(tmp_path, "objid,label", "1,a", '2,"b', "3,c", "4,d"))
    with pytest.raises(
        InputError,
        match=r"row 1, column label: quoted cell holds a row of the table, found b\\n3,c",
    ):
        read_table(csv(tmp_path, "objid,label", "1,a", '2,"b', "3,c", '4,d"', "5,e"))
    assert len(read_table(csv(tmp_path, "objid,label", "1,a", '2,"two\nlines"'))) == 2


def test_codes_keep_their_zeros_and_names_their_digits(tmp_path: Path) -> None:
    frame = read_table(
        csv(tmp_path, "objid,code,parent,hex", f"a,007,{BIG},0x1F", "b,010,1.5,0x20")
    )
    assert frame["code"].tolist() == ["007", "010"] and frame["parent"].tolist() == [
        str(BIG),
        "1.5",
    ]
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


# other formats


def test_an_id_that_begins_like_a_comment_is_written_so_that_it_comes_back(tmp_path: Path) -> None:
    frame = pd.DataFrame({"objid": ["#1", "2", "#"], "#note": ["#x", "y", "z"]})
    write_csv(frame, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.csv"), frame, check_dtype=False)


def test_a_votable_is_read_with_its_masks(tmp_path: Path) -> None:
    table = Table({"objid": np.array([BIG, BIG + 1]), "name": ["None", "é"]})
    table["n"] = MaskedColumn([1, 2], mask=[False, True])
    table["v"] = np.arange(4.0).reshape(2, 2)
    for serialisation in ("tabledata", "binary2"):
        path = tmp_path / f"{serialisation}.vot"
        table.write(path, format="votable", tabledata_format=serialisation)
        frame = read_table(path)
        assert frame["objid"].tolist() == [str(BIG), str(BIG + 1)] and frame["name"].tolist() == [
            "None",
            "é",
        ]
        assert frame["n"].tolist() == [1, pd.NA] and frame["v_1"].tolist() == [1, 3]


def test_a_votable_opens_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "t.vot"
    Table({"objid": [1]}).write(path, format="votable", tabledata_format="binary")
    text = path.read_text()
    stream = text[text.index("<STREAM") : text.index("</STREAM>")]
    path.write_text(text.replace(stream, '<STREAM href="file:///etc/passwd">'))
    with pytest.raises(InputError, match=r"data lie in another place, found file:///etc/passwd"):
        read_table(path)
    entity = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    path.write_text(text.replace("<VOTABLE", entity + "<VOTABLE", 1))
    with pytest.raises(InputError, match="file declares entities, found a"):
        read_table(path)


def test_ecsv_is_read_whatever_its_ending(tmp_path: Path) -> None:
    table = Table({"objid": np.array([BIG, BIG + 1]), "u": np.array([2**64 - 1, 0], np.uint64)})
    table["n"] = MaskedColumn([1, 2], mask=[True, False], unit="mag")
    for name in ("t.ecsv", "t.csv"):
        table.write(tmp_path / name, format="ascii.ecsv")
        frame = read_table(tmp_path / name)
        assert frame["objid"].tolist() == [str(BIG), str(BIG + 1)] and frame["u"].tolist() == [
            2**64 - 1,
            0,
        ]
        assert frame["n"].tolist() == [pd.NA, 2] and frame.attrs["units"] == {"n": "mag"}


def test_feather_and_arrow_streams_are_read(tmp_path: Path) -> None:
    table = pa.table({"objid": pa.array([BIG, BIG + 1]), "n": pa.array([None, 2], pa.int16())})
    feather.write_feather(table, tmp_path / "t.feather")
    with pa.ipc.new_stream(tmp_path / "t.arrow", table.schema) as stream:
        stream.write_table(table)
    for name in ("t.feather", "t.arrow"):
        frame = read_table(tmp_path / name)
        assert frame["objid"].tolist() == [str(BIG), str(BIG + 1)] and frame["n"].tolist() == [
            pd.NA,
            2,
        ]


def test_a_partitioned_folder_is_one_table(tmp_path: Path) -> None:
    for survey, codes in (("sdss", [BIG, None]), ("de%20cals", [BIG + 2, 7])):
        folder = tmp_path / f"survey={survey}" / "tile=007"
        folder.mkdir(parents=True)
        ids = pa.array([f"{survey[:2]}{row}" for row in range(2)])
        nothing = pa.nulls(2) if survey == "sdss" else pa.array([1, 2])
        pq.write_table(
            pa.table({"objid": ids, "parent": pa.array(codes), "n": nothing}), folder / "p.parquet"
        )
    (tmp_path / "_SUCCESS").touch()
    frame = read_table(tmp_path).set_index("objid")
    assert frame.loc[["sd0", "de1"], "parent"].tolist() == [str(BIG), "7"] and pd.isna(
        frame.loc["sd1", "parent"]
    )
    assert frame.loc[["sd0", "de1"], "survey"].tolist() == ["sdss", "de cals"] and set(
        frame["tile"]
    ) == {"007"}
    assert frame.loc[["de0", "de1"], "n"].tolist() == [1, 2] and frame.loc["sd0", "n"] is pd.NA
    pq.write_table(
        pa.table({"objid": ["x"], "parent": [0.5]}), tmp_path / "survey=sdss" / "other.parquet"
    )
    with pytest.raises(
        InputError, match=r"column parent: column has two types; must be int64.*found double"
    ):
        read_table(tmp_path)
    (tmp_path / "_delta_log").mkdir()
    with pytest.raises(
        InputError, match="folder is a table of Delta Lake, whose files do not all count"
    ):
        read_table(tmp_path)
    with pytest.raises(InputError, match="folder holds no Parquet files"):
        read_table(tmp_path / "_delta_log")


def test_a_hats_catalog_is_read_without_margin_thumbnail_and_places(tmp_path: Path) -> None:
    """As lsdb 0.11 lays it out: a collection with its primary catalog and a margin."""
    (tmp_path / "collection.properties").write_text(
        "#HATS\nobs_collection=g\nhats_primary_table_url=gal\n"
    )
    for name in ("gal", "gal_3600arcs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "hats.properties").write_text("dataproduct_type=object\n")
        for pixel in (3, 11):
            folder = tmp_path / name / "dataset" / "Norder=1" / "Dir=0"
            folder.mkdir(parents=True, exist_ok=True)
            row = pa.table({"objid": [f"{name}{pixel}"], "_healpix_29": [2**57 + pixel]})
            pq.write_table(row, folder / f"Npix={pixel}.parquet")
        pq.write_table(row, tmp_path / name / "dataset" / "data_thumbnail.parquet")
    for path in (tmp_path, tmp_path / "gal"):
        frame = read_table(path)
        assert sorted(frame["objid"]) == ["gal11", "gal3"] and list(frame) == [
            "objid",
            "_healpix_29",
        ]
        assert set(frame["_healpix_29"]) == {2**57 + 3, 2**57 + 11}
    (tmp_path / "collection.properties").write_text("hats_primary_table_url=../elsewhere\n")
    with pytest.raises(InputError, match="path leaves its folder"):
        read_table(tmp_path)


def test_tables_in_hdf5_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        group = file.create_group("catalog")
        group["objid"] = np.array([BIG, BIG + 1], ">i8")
        group["label"] = ["None", "spiral"]
        group["n"] = np.array([7, -1], np.int16)
        group["n"].attrs["_FillValue"] = np.int16(-1)
        group["flag"] = np.array([True, False])
        group["images"] = np.zeros((2, 4, 4), np.uint8)
        group["wavelength"] = np.arange(5.0)
        group["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/x")
        file["history"] = np.array([1, 2, 3])
    frame = read_table(tmp_path / "t.h5")
    assert frame["objid"].tolist() == [str(BIG), str(BIG + 1)] and frame["label"].tolist() == [
        "None",
        "spiral",
    ]
    assert frame["n"].tolist() == [7, pd.NA] and frame["flag"].tolist() == [True, False]
    assert set(frame) == {
        "objid",
        "label",
        "n",
        "flag",
    } and "left out: images, wavelength" in notes(frame)
    with h5py.File(tmp_path / "r.h5", "w") as file:
        file["data"] = np.array(
            [(BIG, b"x", 0.5)], dtype=[("objid", "i8"), ("name", "S3"), ("z", "f4")]
        )
    frame = read_table(tmp_path / "r.h5")
    assert (frame["objid"][0], frame["name"][0], frame["z"][0]) == (str(BIG), "x", 0.5)


def test_hdf5_without_a_table_says_what_it_holds(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["images"] = np.zeros((2, 4, 4), np.uint8)
    with pytest.raises(
        InputError, match=r"no table in the HDF5 file; must have one-dimensional .* found images"
    ):
        read_table(tmp_path / "t.h5")
    with h5py.File(tmp_path / "t.h5", "a") as file:
        file["a"], file["b"] = np.arange(3), np.arange(4)
    with pytest.raises(InputError, match="datasets differ in length, found a has 3, b has 4"):
        read_table(tmp_path / "t.h5")
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("objid", shape=(10**12,), dtype="i8", chunks=(1000,))
    with pytest.raises(InputError, match="dataset is longer than what the file holds"):
        read_table(tmp_path / "huge.h5")


def test_columns_of_fits_keep_flags_units_and_signs(tmp_path: Path) -> None:
    columns = [
        fits.Column("objid", "K", array=np.array([BIG, BIG + 1])),
        fits.Column("flag", "L", array=np.array([True, False])),
        fits.Column("u", "K", bzero=2**63, array=np.array([2**64 - 1, 5], np.uint64)),
        fits.Column("s", "B", bzero=-128, array=np.array([-128, 127], np.int8)),
        fits.Column("d", "E", unit="mag", array=np.array([0.469, np.nan], np.float32)),
        fits.Column("var", "PJ()", array=np.array([[1], [1, 2]], dtype=object)),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "t.fits")
    with fits.open(tmp_path / "t.fits") as hdus:
        second = hdus[1].fileinfo()["datLoc"] + hdus[1].header["NAXIS1"]
    with (tmp_path / "t.fits").open("r+b") as file:
        file.seek(second + 8)  # behind objid: neither T nor F is unknown
        file.write(b"\0")
    frame = read_table(tmp_path / "t.fits")
    assert frame["u"].tolist() == [2**64 - 1, 5] and frame["s"].tolist() == [-128, 127]
    assert frame["flag"].tolist() == [True, pd.NA] and frame.attrs["units"] == {"d": "mag"}
    np.testing.assert_array_equal(frame["d"], [0.469, np.nan])
    assert "variable length or complex numbers are left out: var" in notes(frame)


def test_ascii_tables_of_fits_keep_every_digit(tmp_path: Path) -> None:
    columns = [
        fits.Column("objid", "I20", ascii=True, array=np.array([BIG, BIG + 1])),
        fits.Column("n", "I6", ascii=True, null="-99", array=np.array([-99, 5])),
        fits.Column("z", "D25.17", ascii=True, array=np.array([0.1, 1e-300])),
        fits.Column("name", "A4", ascii=True, array=np.array(["None", "x"])),
    ]
    fits.TableHDU.from_columns(columns).writeto(tmp_path / "t.fits")
    frame = read_table(tmp_path / "t.fits")
    assert frame["objid"].tolist() == [str(BIG), str(BIG + 1)] and frame["name"].tolist() == [
        "None",
        "x",
    ]
    assert frame["n"].tolist() == [pd.NA, 5] and frame["z"].tolist() == [0.1, 1e-300]
