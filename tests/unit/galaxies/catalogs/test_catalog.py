from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from gzfeatures.errors import InputError, MissingFileError, UnknownNameError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.hats_catalogs.output import write_catalog
from gzfeatures.galaxies.votes.column_names import GZ2, KAGGLE
from gzfeatures.galaxies.votes.votes import ANSWERS, Conditional, Counts, Cumulative

BIG = 588017605758025732  # loses its last digits in a float


def kaggle(n: int = 4) -> pd.DataFrame:
    """Everybody says smooth, in between, nothing odd."""
    frame = pd.DataFrame(0.0, index=range(n), columns=list(KAGGLE.values()))
    frame[["Class1.1", "Class6.2", "Class7.2"]] = 1.0
    frame.insert(0, "GalaxyID", range(100, 100 + n))
    return frame


def hart(n: int = 3) -> pd.DataFrame:
    frame = pd.DataFrame({"dr7objid": [BIG + row for row in range(n)], "gz2_class": ["Ei"] * n})
    for answer, stem in GZ2.items():
        share = 1.0 if answer in ("smooth", "in-between", "odd-no") else 0.0
        frame[f"{stem}_weighted_fraction"] = frame[f"{stem}_debiased"] = share
    return frame


def written(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False)
    return path


# reading


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet", ".fits", ".fits.gz"])
def test_the_same_table_gives_the_same_catalog_from_every_format(
    tmp_path: Path, ending: str
) -> None:
    frame = pd.DataFrame(
        {
            "objid": [BIG, BIG + 1, BIG + 2],
            "ra": np.array([0.1, 359.9, 12.345678], dtype=np.float32),
            "votes": np.array([1, 2, 3], dtype=np.int16),
            "survey": ["a", "stripe82_c", "b"],
        }
    )
    path = tmp_path / f"table{ending}"
    if ending.startswith(".csv"):
        frame.to_csv(path, index=False)
    elif ending == ".parquet":
        frame.to_parquet(path)
    else:
        Table.from_pandas(frame).write(path)
    catalog = Catalog.read(path)
    assert catalog.ids.tolist() == [str(BIG), str(BIG + 1), str(BIG + 2)]
    assert catalog.column("ra").tolist() == [0.1, 359.9, 12.345678]
    assert catalog.frame["survey"].tolist() == ["a", "stripe82_c", "b"]
    assert catalog.frame["votes"].dtype == np.int64
    reference = Catalog.read(written(frame, tmp_path / "reference.csv"))
    assert catalog.fingerprint == reference.fingerprint


def test_fingerprint_ignores_the_order_of_rows_and_columns_but_not_a_value() -> None:
    frame = kaggle()
    same = frame.iloc[::-1][frame.columns[::-1]]
    assert Catalog.of(frame).fingerprint == Catalog.of(same).fingerprint
    frame.loc[2, ["Class1.1", "Class1.2"]] = 0.5
    assert Catalog.of(frame).fingerprint != Catalog.of(kaggle()).fingerprint


def test_big_endian_masked_and_vector_columns_of_fits(tmp_path: Path) -> None:
    table = Table()
    table["OBJID"] = MaskedColumn(np.array([BIG, BIG + 1], dtype=">i8"), mask=[False, False])
    table["REDSHIFT"] = np.array([0.05, np.nan], dtype=">f4")
    table["PETROMAG_MR"] = np.array([-21.5, -20.0], dtype=">f8")
    table["bin"] = MaskedColumn(np.array([3, 4], dtype=">i2"), mask=[False, True])
    table["THETA"] = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=">f4")
    table.write(tmp_path / "sample.fits")
    catalog = Catalog.read(tmp_path / "sample.fits")
    assert catalog.kind == "gz2sample" and catalog.ids.tolist() == [str(BIG), str(BIG + 1)]
    np.testing.assert_array_equal(catalog.column("redshift"), [0.05, np.nan])
    np.testing.assert_array_equal(catalog.column("bin"), [3, np.nan])
    np.testing.assert_array_equal(catalog.column("THETA_1"), [2, 4])
    assert str(catalog.frame["bin"].dtype) == "Int64"
    assert all(dtype.isnative for dtype in catalog.frame.dtypes if isinstance(dtype, np.dtype))


def test_a_fits_file_that_cannot_be_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    Table({"objid": [1]}).write(path)
    path.write_bytes(
        path.read_bytes().replace(
            b"NAXIS   =                    0", b"NAXIS   =                  1.5", 1
        )
    )
    with pytest.raises(
        InputError,
        match=r"FITS file is damaged in unit 0; must state NAXIS as a whole number.*found 1\.5",
    ):
        Catalog.read(path)
    assert str(path) not in [file.path for file in psutil.Process().open_files()]


def test_the_first_table_of_a_fits_file_with_several_is_read(tmp_path: Path) -> None:
    first = fits.table_to_hdu(Table({"objid": [1, 2]}))
    second = fits.table_to_hdu(Table({"objid": [7]}))
    fits.HDUList([fits.PrimaryHDU(), first, second]).writeto(tmp_path / "two.fits")
    assert Catalog.read(tmp_path / "two.fits").ids.tolist() == ["1", "2"]


def test_masked_big_integers_stay_exact(tmp_path: Path) -> None:
    table = Table({"objid": [1, 2]})
    table["parent"] = MaskedColumn([BIG, 0], mask=[False, True])
    table.write(tmp_path / "t.fits")
    frame = Catalog.read(tmp_path / "t.fits").frame
    assert frame["parent"][0] == str(BIG) and pd.isna(frame["parent"][1])


@pytest.mark.parametrize(
    ("columns", "kind", "id_column"),
    [
        (["dr7objid", "gz2_class", f"{GZ2['smooth']}_debiased"], "hart16", "dr7objid"),
        (["dr7objid", "gz2_class", f"{GZ2['smooth']}_debiased", "asset_id"], "hart16", "asset_id"),
        (["objid", f"{GZ2['smooth']}_fraction"], "willett13", "objid"),
        (["OBJID", "REDSHIFT", "PETROMAG_MR"], "gz2sample", "OBJID"),
        (["objid", "sample", "asset_id"], "filename-mapping", "asset_id"),
        (["iauname", "smooth-or-featured_smooth"], "vote-counts", "iauname"),
        (["galaxy_id", "label"], "labels", "galaxy_id"),
        (["GalaxyID", "class5"], "table", "GalaxyID"),
    ],
)
def test_kinds_are_told_by_their_columns(columns: list[str], kind: str, id_column: str) -> None:
    frame = pd.DataFrame({name: [0.5, 0.25] for name in columns})
    frame[id_column] = ["a", "b"]
    if "gz2_class" in frame:
        frame["gz2_class"] = "Ei"
    catalog = Catalog.of(frame)
    assert catalog.kind == kind and catalog.ids.tolist() == ["a", "b"]


def test_missing_columns_name_those_found_and_those_needed(tmp_path: Path) -> None:
    frame = kaggle().drop(columns=["Class8.7", "Class11.6"])
    with pytest.raises(
        InputError,
        match=r"columns of a kaggle catalog are missing; must have Class8.7, Class11.6, found "
        r"GalaxyID, Class1.1",
    ):
        Catalog.read(written(frame, tmp_path / "short.csv"))
    with pytest.raises(
        InputError,
        match=r"columns of a table catalog are missing; must have galaxy_id or GalaxyID or .*, "
        r"found x, y",
    ):
        Catalog.read(written(pd.DataFrame({"x": [1], "y": [2]}), tmp_path / "none.csv"))
    with pytest.raises(
        UnknownNameError, match="unknown kind of catalog; must be one of kaggle, hart16"
    ):
        Catalog.of(kaggle(), kind="keggle")
    with pytest.raises(
        InputError, match=r"columns of a hart16 catalog are missing; must have dr7objid, gz2_class"
    ):
        Catalog.of(kaggle(), kind="hart16")
    with pytest.raises(
        InputError, match="id column is missing; must have asset_id, found GalaxyID"
    ):
        Catalog.of(kaggle(), id_column="asset_id")


def test_unreadable_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="catalog not found"):
        Catalog.read(tmp_path / "nowhere.csv")
    (tmp_path / "table.txt").write_text("x")
    with pytest.raises(
        InputError, match=r"unknown kind of table; must end in .fits, .fit, .csv, .parquet, .pq"
    ):
        Catalog.read(tmp_path / "table.txt")
    path = tmp_path / "cut.fits.gz"
    Table({"objid": np.arange(1000)}).write(tmp_path / "whole.fits.gz")
    path.write_bytes((tmp_path / "whole.fits.gz").read_bytes()[:300])
    with pytest.raises(
        InputError, match=r"cut.fits.gz: catalog cannot be read, found .*; fetch it again"
    ):
        Catalog.read(path)
    for name in ("empty.csv", "empty.parquet", "empty.fits"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(InputError, match=f"{name}: catalog cannot be read"):
            Catalog.read(tmp_path / name)
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "image.fits")
    with pytest.raises(
        InputError, match="catalog cannot be read, found ValueError: it holds no table"
    ):
        Catalog.read(tmp_path / "image.fits")
    (tmp_path / "torn.csv.gz").write_bytes(gzip.compress(b"galaxy_id,ra\n" + b"1,2\n" * 5000)[:60])
    with pytest.raises(InputError, match=r"torn.csv.gz: catalog cannot be read"):
        Catalog.read(tmp_path / "torn.csv.gz")


def test_ids_in_csv_are_text_however_they_look(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"galaxy_id,ra\n007,1\n{BIG},2\n1e5,3\n")
    assert Catalog.read(tmp_path / "t.csv").ids.tolist() == ["007", str(BIG), "1e5"]


# what is wrong


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"GalaxyID": [1, 1, 2, 3]},
            r"1 of 4 galaxies break a rule; must stand once \(id\), found 1",
        ),
        (
            {"Class1.1": [1, np.nan, 1, 1]},
            r"galaxy 101 \(row 1\): 1 of 4 .* must not be missing \(Class1.1\), found nan",
        ),
        (
            {"Class7.2": [1, 1, 1.5, 1]},
            r"galaxy 102 .* must be a vote fraction in \[0, 1\] \(Class7.2\), found 1.5; "
            r"correct or drop",
        ),
        (
            {"Class7.2": [1, "x", 1, 1]},
            r"must be a vote fraction in \[0, 1\] \(Class7.2\), found x",
        ),
        (
            {"ra": [0, 10, 360, 2]},
            r"galaxy 102 .* must lie in \[0, 360\) degrees \(ra\), found 360",
        ),
        (
            {"dec": [0, 10, 90, -90.5]},
            r"galaxy 103 .* must lie in \[-90, 90\] degrees \(dec\), found -90.5",
        ),
    ],
)
def test_a_broken_rule_names_galaxy_rule_value_and_remedy(
    change: dict[str, list[object]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Catalog.of(kaggle().assign(**change))


def test_a_missing_id_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("galaxy_id,ra\na,1\n,2\n")
    with pytest.raises(
        InputError, match=r"row 1.*1 of 2 galaxies break a rule; must not be missing \(id\)"
    ):
        Catalog.read(tmp_path / "t.csv")
    with pytest.raises(InputError, match="catalog has no ids; must have a column galaxy_id"):
        Catalog(pd.DataFrame({"x": [1]}))


def test_examine_goes_through_the_whole_catalog_and_lists_everything(tmp_path: Path) -> None:
    frame = kaggle(6).assign(
        ra=[1, 2, -5, 4, 400, 6],
        file=["a.jpg", "../../etc/passwd", "b.jpg", "c.jpg", "/abs.jpg", "d.jpg"],
    )
    frame.loc[5, "GalaxyID"] = 100
    frame.loc[1, "Class1.1"] = np.nan
    frame.loc[3, "Class7.1"] = 2.0
    found = Catalog.examine(written(frame, tmp_path / "bad.csv"), image_root=tmp_path)
    assert (found.rows, found.kind, len(found.columns)) == (6, "kaggle", 40)
    problems = {(problem.id, problem.rule.split(" must")[0]) for problem in found.problems}
    assert problems == {
        ("100", "id"),
        ("101", "Class1.1"),
        ("103", "Class7.1"),
        ("102", "ra"),
        ("104", "ra"),
        ("101", "file"),
        ("104", "file"),
    }
    values = {problem.value for problem in found.problems}
    assert {"../../etc/passwd", "/abs.jpg", "nan", "2.0", "400.0"} <= values


def test_examine_lists_sums_and_class_strings_that_do_not_keep_the_rules(tmp_path: Path) -> None:
    frame = kaggle()
    frame.loc[1, "Class7.2"] = 0.9
    found = Catalog.examine(written(frame, tmp_path / "k.csv")).problems
    assert [(p.id, p.rule, p.value) for p in found] == [
        ("101", "answers of 'rounded' must sum to the fraction of their parent answer", "0.9")
    ]
    Catalog.read(tmp_path / "k.csv")  # an uneven sum does not keep the table from being read
    frame = hart()
    frame["gz2_class"] = ["Ei", "Sxx", "SBb2m"]
    frame.loc[2, f"{GZ2['smooth']}_weighted_fraction"] = 0.5
    found = Catalog.examine(written(frame, tmp_path / "h.csv")).problems
    assert {(p.id, p.rule) for p in found} == {
        (str(BIG + 1), "gz2_class must follow the GZ2 grammar"),
        (str(BIG + 2), "answers of 'smooth-or-features' must sum to 1"),
    }


def test_a_row_without_id_is_named_by_its_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("galaxy_id,ra\na,1\n,2\n")
    assert [(p.id, p.rule) for p in Catalog.examine(tmp_path / "t.csv").problems] == [
        ("row 1", "id must not be missing")
    ]


# votes and columns


def test_votes_come_in_the_form_asked_for() -> None:
    catalog = Catalog.of(hart())
    conditional = catalog.votes("conditional", ("debiased",))
    assert isinstance(conditional, Conditional) and conditional.measure == "debiased"
    assert (
        np.isnan(conditional.question("bar")).all()
        and (conditional.answer("in-between") == 1).all()
    )
    assert isinstance(catalog.votes("cumulative"), Cumulative)
    assert isinstance(Catalog.of(kaggle()).votes("conditional"), Conditional)
    with pytest.raises(InputError, match="no count votes; must have columns of count votes"):
        catalog.votes("count", ("count",))
    with pytest.raises(
        InputError,
        match=r"no cumulative votes; must have columns of fraction votes, found weighted "
        r"fractions of gz2, deb.*; use",
    ):
        catalog.votes("cumulative", ("fraction",))


def test_decals_counts_speak_of_the_answers_they_share_with_gz2() -> None:
    columns = {
        "iauname": ["J1", "J2"],
        "smooth-or-featured_smooth": [10, 2],
        "smooth-or-featured_featured-or-disk": [5, 8],
        "smooth-or-featured_artifact": [5, 0],
        "disk-edge-on_yes": [0, 2],
        "disk-edge-on_no": [5, 6],
        "bar_strong": [1, 2],
        "bar_weak": [1, 1],
        "bar_no": [3, 3],
    }
    catalog = Catalog.of(pd.DataFrame(columns))
    votes = catalog.votes("count", ("count",))
    assert catalog.kind == "vote-counts" and isinstance(votes, Counts)
    assert (
        votes.answer("bar-yes").tolist() == [2, 3]
        and np.isnan(votes.answer("bulge-dominant")).all()
    )
    cumulative = catalog.votes("cumulative", ("count",), ("smooth", "bar-yes"))
    np.testing.assert_allclose(
        cumulative.answer("bar-yes"), [5 / 20 * 2 / 5, 8 / 10 * 6 / 8 * 3 / 6]
    )
    with pytest.raises(InputError, match="on merger"):
        catalog.votes("cumulative", ("count",), ("merger",))
    with pytest.raises(
        InputError, match=r"must be a number of votes, 0 or more \(bar_no\), found -3"
    ):
        Catalog.of(pd.DataFrame(columns | {"bar_no": [-3, 3]}))


def test_decals_fractions_and_marks_of_campaigns() -> None:
    columns = {
        "id_str": ["J1"],
        "smooth-or-featured-dr5_smooth": [3],
        "smooth-or-featured-dr5_featured-or-disk": [1],
    }
    catalog = Catalog.of(pd.DataFrame(columns | {"smooth-or-featured-dr5_artifact": [0]}))
    assert catalog.kind == "vote-counts" and catalog.votes("count", ("count",)).answer(
        "smooth"
    ).tolist() == [3]
    assert catalog.votes("cumulative", ("count",)).answer("smooth").tolist() == [0.75]
    desi = Catalog.of(
        pd.DataFrame(
            {
                "dr8_id": ["a"],
                "bar_strong_fraction": [0.1],
                "bar_weak_fraction": [0.3],
                "bar_no_fraction": [0.6],
            }
        )
    )
    assert desi.kind == "table" and desi.votes("conditional", ("fraction",)).answer(
        "bar-yes"
    ).tolist() == [0.4]


def test_columns_have_one_name_whatever_the_catalog_calls_them() -> None:
    catalog = Catalog.of(
        pd.DataFrame(
            {
                "OBJID": [1, 2],
                "REDSHIFT": [0.1, -9999],
                "PETROMAG_MR": [-21, -20],
                "PETROR90_R": [4, 5],
            }
        )
    )
    assert catalog.column("redshift").tolist() == [0.1, -9999]
    assert catalog.column("petro_mag_r_abs").tolist() == [-21, -20] and catalog.column(
        "petro_r90"
    ).tolist() == [4, 5]
    assert not catalog.has_column("dec")
    with pytest.raises(
        InputError,
        match=r"no numeric column for dec; must have one of dec, DEC, .*; join the table that "
        r"has it",
    ):
        catalog.column("dec")


def test_select_and_with_ids() -> None:
    catalog = Catalog.of(hart().assign(asset_id=["7", "8", "9"]))
    assert catalog.ids.tolist() == ["7", "8", "9"]
    assert catalog.with_ids("dr7objid").ids[0] == str(BIG)
    assert catalog.select(np.array(["9", "7"], dtype=object)).ids.tolist() == ["9", "7"]
    with pytest.raises(InputError, match="1 of 1 ids are not there"):
        catalog.select(np.array(["x"], dtype=object))
    with pytest.raises(InputError, match=r"must stand once \(id\), found Ei"):
        catalog.with_ids("gz2_class")


# joins


def test_a_join_reports_what_matched_what_did_not_and_what_doubled() -> None:
    left = Catalog.of(hart(4))
    mapping = pd.DataFrame(
        {
            "objid": [BIG, BIG + 1, BIG + 1, 5],
            "sample": list("abcd"),
            "asset_id": ["10", "11", "12", "13"],
            "gz2_class": "?",
        }
    )
    joined, report = left.join(
        Catalog.of(mapping, kind="filename-mapping"), left_on="dr7objid", right_on="objid"
    )
    assert joined.kind == "hart16" and joined.frame["asset_id"].tolist() == ["10"]
    assert joined.frame["gz2_class"].tolist() == ["Ei"] and joined.ids.tolist() == [str(BIG)]
    assert (report.matched, report.unmatched, report.unused) == (1, (str(BIG + 2), str(BIG + 3)), 1)
    assert report.doubled == (str(BIG + 1),)
    assert joined.with_ids("asset_id").ids.tolist() == ["10"]


def test_two_keys_tell_doubles_apart() -> None:
    left = Catalog.of(hart(2).assign(sample=["original", "stripe82"]))
    mapping = Catalog.of(
        pd.DataFrame(
            {
                "objid": [BIG, BIG + 1, BIG + 1],
                "sample": ["original", "original", "stripe82"],
                "asset_id": list("xyz"),
            }
        )
    )
    joined, report = left.join(
        mapping, left_on=["dr7objid", "sample"], right_on=["objid", "sample"]
    )
    assert (
        joined.frame["asset_id"].tolist() == ["x", "z"]
        and report.matched == 2
        and report.doubled == ()
    )


def test_a_join_that_cannot_be_says_why() -> None:
    left, right = Catalog.of(hart(2)), Catalog.of(kaggle())
    with pytest.raises(
        InputError, match=rf"no rows match, found {BIG} here, 100 there; name the columns"
    ):
        left.join(right, "dr7objid", "GalaxyID")
    with pytest.raises(InputError, match="key column is missing; must have OBJID, found galaxy_id"):
        left.join(right, "dr7objid", "OBJID")


# the real tables


@pytest.mark.data
def test_real_fits_and_csv_of_stripe82_are_one_catalog(shared_data: Path) -> None:
    names = ("gz2_table5_stripe82_coadd.fits.gz", "gz2_table5_stripe82_coadd.csv.gz")
    first, second = (Catalog.read(shared_data / "catalogs" / name) for name in names)
    assert first.kind == second.kind == "willett13" and first.frame.shape == second.frame.shape == (
        19_761,
        229,
    )
    pd.testing.assert_frame_equal(first.frame, second.frame)
    assert first.fingerprint == second.fingerprint
    assert first.ids[0] == "8647474690312307154"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "kind", "rows", "problems"),
    [
        ("catalogs/kaggle_training_solutions_part.csv", "kaggle", 12_038, 0),
        ("gz2/votes.csv", "kaggle", 3_732, 0),
        ("gz2/classes.csv", "table", 5_913, 0),
        ("gz2/bulk.csv", "table", 21_717, 0),
        ("hart16/hart16_1000.csv", "hart16", 1_000, 4),
    ],
)
def test_real_catalogs_keep_the_rules(
    shared_data: Path, name: str, kind: str, rows: int, problems: int
) -> None:
    found = Catalog.examine(shared_data / name, image_root=shared_data)
    assert (found.kind, found.rows, len(found.problems)) == (kind, rows, problems)
    assert all(
        re.fullmatch(r"t\d\d_\w+_debiased must not be missing", problem.rule)
        for problem in found.problems
    )


@pytest.mark.data
def test_real_hart16_is_named_by_its_images_and_knows_its_answers(shared_data: Path) -> None:
    catalog = Catalog.read(shared_data / "hart16" / "hart16_1000.csv")
    images = {path.stem for path in (shared_data / "hart16" / "images").iterdir()}
    assert set(catalog.ids) == images
    assert catalog.has_votes(("debiased",), ANSWERS) and catalog.has_votes(("weighted",), ANSWERS)
    assert not catalog.has_votes(("fraction",), ANSWERS)


def test_ids_that_a_user_chose_are_kept_when_the_written_catalog_is_read(tmp_path: Path) -> None:
    columns = {
        "dr7objid": [11, 12],
        "specobjid": [91, 92],
        "gz2_class": ["Ec", "Ei"],
        f"{GZ2['smooth']}_debiased": [0.5, 0.6],
    }
    chosen = Catalog.of(pd.DataFrame(columns), id_column="specobjid")
    again = Catalog.read(write_catalog(chosen, tmp_path / "c.csv"))
    assert again.kind == "hart16" and again.ids.tolist() == chosen.ids.tolist() == ["91", "92"]
    told = "galaxies are named by galaxy_id; dr7objid holds other ids (choose it with --id)"
    assert told in again.notes
    # the usual ids need no note; a joined asset_id names the images, and the note says so
    usual = Catalog.of(pd.DataFrame(columns))
    read = Catalog.read(write_catalog(usual, tmp_path / "u.csv"))
    assert read.ids.tolist() == ["11", "12"] and not any("other ids" in n for n in read.notes)
    joined = pd.read_csv(tmp_path / "u.csv").assign(asset_id=[5, 6])
    images = Catalog.of(joined)
    assert images.ids.tolist() == ["5", "6"] and any("galaxy_id holds" in n for n in images.notes)
