"""Predictions joined back into the catalog they came from: what it stores stays to the byte."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from verbs import called, gz

from gzfeatures.errors import InputError
from gzfeatures.evaluation.prediction_files.columns import UCDS, ucds_of
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.catalog_join import JoinKind, Rows
from gzfeatures.galaxies.catalogs.joined_file import write_joined
from gzfeatures.tablefiles.tables import read_table, write_table

IDS = np.array([2**63 + 7, 2**64 - 1, 5, 6, 7, 8], dtype=np.uint64)
CHECKED = {"checksum": True}


def survey(path: Path) -> None:
    """A FITS catalog with all that a table can store, between two other units."""
    n = len(IDS)
    columns = [
        fits.Column("dr7objid", "K", bzero=2**63, array=IDS),
        fits.Column("ra", "D", "deg", array=np.linspace(0, 50, n)),
        fits.Column("dec", "D", "deg", array=np.linspace(-9, 50, n)),
        fits.Column("big", "K", null=-99, array=np.array([2**62 + 1, -99, 3, 4, 5, 6])),
        fits.Column("mag", "E", "mag", array=np.array([1.1, np.nan, 3, 4, 5, 6], np.float32)),
        fits.Column("vector", "3E", array=np.arange(3 * n, dtype=np.float32).reshape(n, 3)),
        fits.Column("list", "PJ()", array=np.array([np.arange(k) for k in range(n)], object)),
        fits.Column("scaled", "I", null=-1, array=np.array([-1, 1, 2, 3, 4, 5], np.int16)),
        fits.Column("bits", "11X", array=np.arange(11 * n).reshape(n, 11) % 3 == 0),
        fits.Column("name", "5A", array=np.array(["a", "bb", "", "c", "d", "e"])),
    ]
    unit = fits.BinTableHDU.from_columns(columns, name="CATALOG")
    # astropy refuses to write a scaled column, so the cards are named afterwards
    unit.header.update(
        {"TUCD2": "pos.eq.ra;meta.main", "XSCAL8": 0.5, "XZERO8": 3.0, "EQUINOX": 2000.0}
    )
    first = fits.PrimaryHDU(header=fits.Header({"OBSERVER": "Galaxy Zoo"}))
    image = fits.ImageHDU(np.arange(12.0).reshape(3, 4), name="MASK")
    fits.HDUList([first, unit, image]).writeto(path, **CHECKED)
    data = path.read_bytes()
    for word in (b"SCAL8", b"ZERO8"):
        data = data.replace(b"X" + word, b"T" + word)
    path.write_bytes(data)


def predictions(path: Path) -> None:
    path.write_text(
        "galaxy_id,predicted_class,class_set,familiarity_p,spiral,merger,note\n"
        f"{IDS[1]},spiral,spiral,.5,.6,.4,1\n"
        "6,merger,spiral|merger,.25,.2,.8,2\n"
        f"{IDS[0]},spiral,,.001,.9,.1,3\n"
    )


def stored(path: Path) -> np.ndarray:
    """The rows of the catalog as bytes decoded by no one, by stored names."""
    with fits.open(path, memmap=False) as units:
        return np.array(units["CATALOG"].data.view(np.ndarray))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("everything", [False, True])
def test_predictions_join_the_fits_catalog_whose_bytes_stay(
    packed: bool, everything: bool, tmp_path: Path
) -> None:
    catalog, output = tmp_path / "catalog.fits", tmp_path / "joined.fits"
    survey(catalog)
    predictions(tmp_path / "predictions.csv")
    source = catalog
    if packed:
        source = tmp_path / "catalog.fits.gz"
        source.write_bytes(gzip.compress(catalog.read_bytes()))
    words = ["--on", "dr7objid=galaxy_id", *(["--all"] if everything else [])]
    result = called("join", source, tmp_path / "predictions.csv", *words, "-o", output)
    assert result.returncode == 0 and "galaxy_id" not in result.stderr
    rows = np.arange(6) if everything else np.array([0, 1, 3])
    before, after = stored(catalog)[rows], stored(output)
    for name in before.dtype.names:
        assert before[name].tobytes() == after[name].tobytes(), name
    with fits.open(output, memmap=False) as units, fits.open(catalog, memmap=False) as old:
        units.verify("exception")
        assert [unit.name for unit in units] == ["PRIMARY", "CATALOG", "MASK"]
        header = units[1].header
        assert units[0].header["OBSERVER"] == "Galaxy Zoo" and header["EQUINOX"] == 2000.0
        assert (units["MASK"].data == old["MASK"].data).all()
        lists = [units[1].data["list"][k].tolist() for k in range(len(rows))]
        assert lists == [list(range(k)) for k in rows]
        assert "CHECKSUM" not in header and "CHECKSUM" in units["MASK"].header
        place = units[1].columns.names.index("spiral") + 1
        assert header[f"TUCD{place}"] == "stat.probability;src.morph.type"
        assert header["TUCD2"] == "pos.eq.ra;meta.main"
    table = Table.read(output, hdu=1)
    assert table["dr7objid"].tolist() == IDS[rows].tolist()
    assert table["note"].tolist() == ([3, 1, None, 2, None, None] if everything else [3, 1, 2])
    assert table["note"].dtype.kind == "i"
    again = read_table(output)  # astropy compares TNULL with scaled numbers
    assert again["scaled"].isna().tolist() == (rows == 0).tolist()
    assert again["scaled"].tolist()[1:] == [3.0 + 0.5 * k for k in rows[1:]]
    assert again.attrs["units"]["mag"] == "mag" and again["class_set"].isna().iloc[0]


def test_meanings_are_words_of_the_virtual_observatory() -> None:
    ucds = ucds_of([*UCDS, "spiral"])
    assert set(ucds) == {*UCDS, "spiral"}
    for name, ucd in ucds.items():
        assert check_ucd(ucd, check_controlled_vocabulary=True), name


TEXT = pd.StringDtype("pyarrow", na_value=np.nan)
"""Text as it is read, and what pandas 3 calls `str`."""
FRAME = pd.DataFrame(
    {
        "galaxy_id": pd.Series(["18446744073709551615", "007", "x"], dtype=TEXT),
        "ra": [10.0, np.nan, 359.99999999999994],
        "whole": [2**63 - 1, -(2**63) + 1, 0],
        "large": np.array([2**64 - 1, 0, 2**63], dtype=np.uint64),
        "gaps": pd.array([2**53, None, -5], dtype="Int64"),
        "flag": [True, False, True],
        "unsure": pd.array([True, None, False], dtype="boolean"),
        "text": pd.Series(["a", np.nan, "b|c"], dtype=TEXT),
    }
)


@pytest.mark.parametrize("ending", [".fits", ".vot"])
def test_a_table_is_read_again_with_units_meanings_and_every_digit(
    ending: str, tmp_path: Path
) -> None:
    frame = FRAME.copy()
    frame.attrs = {"units": {"ra": "deg"}, "ucds": {"ra": "pos.eq.ra", "gaps": "meta.code"}}
    back = read_table(write_table(frame, tmp_path / f"table{ending}"))
    assert back.attrs["units"] == {"ra": "deg"} and back.attrs["ucds"] == frame.attrs["ucds"]
    for name in ("galaxy_id", "ra", "whole", "gaps", "flag", "text"):
        pd.testing.assert_series_equal(back[name], frame[name], check_exact=True)
    # VOTable has no unsigned integers of 64 bits: their digits are kept as text
    assert back["large"].astype("str").tolist() == frame["large"].astype("str").tolist()
    unsure = [None if pd.isna(value) else str(value)[0] for value in back["unsure"]]
    assert unsure == ["T", None, "F"]


def test_a_votable_joins_a_votable_with_the_meanings_of_both(tmp_path: Path) -> None:
    one, two = FRAME[["galaxy_id", "ra"]].copy(), FRAME[["galaxy_id", "ra", "gaps"]].copy()
    one.attrs = {"units": {"ra": "deg"}, "ucds": {"ra": "pos.eq.ra;meta.main"}}
    two.attrs = {"units": {"gaps": "s", "ra": "deg"}, "ucds": {"gaps": "time", "ra": "pos.eq.ra"}}
    write_table(one, tmp_path / "one.vot")
    write_table(two, tmp_path / "two.vot")
    words = ["--on", "galaxy_id", "--suffix", "_2", "-o", tmp_path / "both.fits"]
    assert gz("join", tmp_path / "one.vot", tmp_path / "two.vot", *words)["matched"] == 3
    back = read_table(tmp_path / "both.fits")
    assert list(back) == ["galaxy_id", "ra", "ra_2", "gaps"]
    assert back.attrs["units"] == {"ra": "deg", "ra_2": "deg", "gaps": "s"}
    assert back.attrs["ucds"]["ra_2"] == "pos.eq.ra" and back.attrs["ucds"]["gaps"] == "time"
    assert back["gaps"].tolist() == [2**53, pd.NA, -5]


def test_integers_and_flags_of_a_galaxy_without_partner_are_missing_not_changed() -> None:
    here = Catalog.of(pd.DataFrame({"galaxy_id": ["a", "b"], "ra": [1.0, 2.0], "dec": [0.0, 0.0]}))
    there = pd.DataFrame(
        {"key": ["b"], "small": [7], "big": [2**62 + 1], "flag": [True], "ra": [2.0], "dec": [0.0]}
    )
    everything = JoinKind(keep_all=True, suffix="_2")
    by_key, report = here.join(Rows(there), "galaxy_id", "key", everything)
    on_sky, _ = here.join_sky(Rows(there), 1.0, kind=everything)
    assert report.unmatched == ("a",) and report.shadowed == ()
    for frame in (by_key.frame, on_sky.frame):
        assert frame["small"].tolist() == [pd.NA, 7] and frame["flag"].tolist() == [pd.NA, True]
        assert frame["big"].iloc[1] == str(2**62 + 1) and pd.isna(frame["big"].iloc[0])
        assert frame["ra_2"].iloc[1] == 2.0 and np.isnan(frame["ra_2"].iloc[0])
    assert np.isnan(on_sky.frame["separation_arcsec"].iloc[0])
    assert on_sky.frame.attrs["units"]["separation_arcsec"] == "arcsec"
    with pytest.raises(InputError, match=r"suffix of columns.*found ra_2"):
        here.join(Rows(there.assign(ra_2=1)), "galaxy_id", "key", JoinKind(suffix="_2"))


def test_what_fits_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    output = tmp_path / "x.fits"
    for frame, why in (
        (pd.DataFrame({"a": ["Hénon 1"]}), "FITS cannot hold this text.*be ASCII.*write .vot"),
        (pd.DataFrame({"ra": [1.0], "RA": [2.0]}), "two columns of a FITS table have one name"),
        (pd.DataFrame(np.zeros((1, 1000))), "FITS table.*at most 999 columns, found 1000"),
    ):
        with pytest.raises(InputError, match=why):
            write_table(frame.rename(columns=str), output)
    assert not output.exists()


def test_a_table_of_text_is_written_anew(tmp_path: Path) -> None:
    source, output = tmp_path / "text.fits", tmp_path / "joined.fits"
    columns = [
        fits.Column("objid", "I20", array=np.array([2**62 + 1, 6])),
        fits.Column("z", "F8.3", array=np.array([0.125, 0.25])),
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.TableHDU.from_columns(columns)]).writeto(source)
    catalog = Catalog.read(source)
    other = Rows(pd.DataFrame({"galaxy_id": ["6"], "p": [0.5]}))
    joined, _ = catalog.join(other, "objid", "galaxy_id", JoinKind(keep_all=True))
    back = read_table(write_joined(joined, catalog, output))
    assert back["objid"].tolist() == [str(2**62 + 1), "6"] and back["z"].tolist() == [0.125, 0.25]
    assert np.isnan(back["p"].iloc[0]) and back["p"].iloc[1] == 0.5
