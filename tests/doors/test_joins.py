"""Rows of two tables belong together only where both have the same id, to its last digit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from verbs import called as gz

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.catalog_join import Rows

BIG = 1237678598634734000


def read(folder: Path, name: str, text: str, **options: object) -> Catalog:
    (folder / name).write_text(text)
    return Catalog.read(folder / name, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("empty", ["", "NA", "nan", "None", "--", "null", "   "])
def test_missing_equals_nothing(tmp_path: Path, empty: str) -> None:
    left = read(tmp_path, "l.csv", f"galaxy_id,dr7objid\na,{BIG}\nb,{empty}\nc,{empty}\n")
    right = read(tmp_path, "r.csv", f"galaxy_id,objid,redshift\nx,{BIG},.1\ny,{empty},7.7\n")
    joined, report = left.join(right, "dr7objid", "objid")
    assert joined.ids.tolist() == ["a"] and joined.frame["redshift"].tolist() == [0.1]
    assert (report.matched, report.keyless, report.unused) == (1, 2, 1)
    assert report.unmatched == ("b", "c") and report.doubled == ()


@pytest.mark.parametrize("empty", ["", "NA", "None"])
def test_missing_equals_nothing_in_columns_that_are_no_known_ids(empty: str) -> None:
    left = Catalog.of(pd.DataFrame({"galaxy_id": ["a", "b"], "plate": ["p1", empty]}))
    right = Catalog.of(
        pd.DataFrame({"galaxy_id": ["x", "y"], "name": ["p1", empty], "redshift": [0.1, 7.7]})
    )
    assert left.join(right, "plate", "name")[0].frame["redshift"].tolist() == [0.1]


def test_a_key_of_two_columns_is_missing_where_one_is(tmp_path: Path) -> None:
    left = read(tmp_path, "l.csv", "galaxy_id,plate,fiber\na,1,2\nb,1,\nc,,\n")
    right = read(tmp_path, "r.csv", "galaxy_id,plate,fiber,redshift\nx,1,2,.1\ny,1,,.2\nz,,,.3\n")
    joined, report = left.join(right, ["plate", "fiber"], ["plate", "fiber"])
    assert joined.ids.tolist() == ["a"] and report.keyless == 2


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("100521", "100521.0"),
        ("100521", " 100521 "),
        (f"{BIG + 1}", f"'{BIG + 1}"),
        (f"{BIG + 1}", f'"=""{BIG + 1}"""'),
        ("J1200+01  ", "J1200+01"),
        ("-842", "-842"),
    ],
)
def test_keys_are_one_whatever_a_spreadsheet_or_a_float_column_puts_around_them(
    tmp_path: Path, here: str, there: str
) -> None:
    left = read(tmp_path, "l.csv", f"galaxy_id,dr7objid\na,{here}\n")
    right = read(tmp_path, "r.csv", f"galaxy_id,objid,redshift\nx,{there},.1\n")
    assert left.join(right, "dr7objid", "objid")[1].matched == 1
    named = read(tmp_path, "n.csv", f"galaxy_id,other,redshift\nx,{there},.1\n", keys=("other",))
    assert left.join(named, "dr7objid", "other")[1].matched == 1


def test_leading_zeros_are_part_of_a_key(tmp_path: Path) -> None:
    left = read(tmp_path, "l.csv", "galaxy_id,code\na,007\nb,7\n", keys=("code",))
    right = read(tmp_path, "r.csv", "galaxy_id,name,redshift\nx,7,.1\n", keys=("name",))
    joined, _ = left.join(right, "code", "name")
    assert joined.ids.tolist() == ["b"]


@pytest.mark.parametrize("column", ["objid", "other"])
@pytest.mark.parametrize("written", ["csv", "parquet"])
def test_keys_that_lost_their_digits_are_refused_with_the_remedy(
    tmp_path: Path, column: str, written: str
) -> None:
    ids = BIG + 300 * np.arange(8)
    frame = pd.DataFrame(
        {"galaxy_id": [f"g{k}" for k in range(8)], column: ids.astype(float), "redshift": 0.1}
    )
    path = tmp_path / f"t.{written}"
    frame.to_csv(path, index=False) if written == "csv" else frame.to_parquet(path)
    lost = Catalog.read(path)
    whole = Catalog.of(pd.DataFrame({"galaxy_id": ids.astype(str)}))
    for one, two, keys in (
        (lost, whole, (column, "galaxy_id")),
        (whole, lost, ("galaxy_id", column)),
    ):
        with pytest.raises(
            InputError, match=rf"column {column}, row 0.*1\.23767.*--id OTHER, match on the sky"
        ):
            one.join(two, *keys)
    assert lost.column("redshift").tolist() == [0.1] * 8  # the other columns stay usable


def test_a_table_whose_only_id_is_the_key_can_be_joined(tmp_path: Path) -> None:
    left = read(tmp_path, "l.csv", "galaxy_id,name\na,x1\nb,x2\n")
    right = read(tmp_path, "r.csv", "name,redshift\nx2,.2\n", keys=("name",))
    assert left.join(right, "name", "name")[0].frame["redshift"].tolist() == [0.2]


def test_the_rows_of_the_other_table_need_no_ids_of_their_own(tmp_path: Path) -> None:
    left = read(tmp_path, "l.csv", f"galaxy_id,dr7objid\na,{BIG}\nb,\nc,{BIG + 1}\nd,{BIG + 2}\n")
    (tmp_path / "r.csv").write_text(
        f"objid,redshift\n{BIG},.1\n,7.7\n,7.8\n{BIG + 1},.2\n{BIG + 1},.3\n"
    )
    joined, report = left.join(Rows.read(tmp_path / "r.csv", ("objid",)), "dr7objid", "objid")
    assert joined.frame["redshift"].tolist() == [0.1] and joined.ids.tolist() == ["a"]
    assert report.doubled == ("c",) and report.unmatched == ("b", "d") and report.unused == 2
    named = Rows.read(tmp_path / "r.csv", ("galaxy_id",))
    assert left.join(named, "dr7objid", "galaxy_id")[1].matched == 1


def test_columns_of_one_name_stay_those_of_the_first_table_and_are_said(tmp_path: Path) -> None:
    read(tmp_path, "l.csv", "galaxy_id,objid,redshift,ra\na,1,.5,10\nb,2,,11\nc,3,,12\n")
    (tmp_path / "r.csv").write_text("objid,redshift,ra,mag\n1,.1,10,17\n2,.2,11,18\n9,.3,12,19\n")
    command = ["join", "l.csv", "r.csv", "--on", "objid", "-o", "j.csv"]
    done = gz(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    line = (
        "columns that stand in both tables stay those of the first: redshift (empty here and "
        "known there for 1"
    )
    assert f"{line} galaxies), ra\n" in done.stderr
    told = gz(*command, "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout)
    assert report["shadowed"] == ["redshift", "ra"] and report["forgone"] == {"redshift": 1}
    joined = Catalog.read(tmp_path / "j.csv")
    np.testing.assert_array_equal(joined.column("redshift"), [0.5, np.nan])
    assert joined.frame["mag"].tolist() == [17, 18]


def test_keys_and_names_of_galaxies_are_shadowed_by_nobody(tmp_path: Path) -> None:
    left = read(tmp_path, "l.csv", "galaxy_id,objid\na,1\n")
    right = read(tmp_path, "r.csv", "galaxy_id,objid,mag\nx,1,17\n")
    assert left.join(right, "objid", "objid")[1].shadowed == ()
    assert left.join(Rows.read(tmp_path / "r.csv", ("objid",)), "objid", "objid")[1].shadowed == (
        "galaxy_id",
    )
