"""What a column means: positions, redshifts, units, and what `check` says of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.coordinates import Angle, SkyCoord
from astropy.table import QTable, Table
from verbs import called as gz

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs import quantities, sexagesimal
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits import sampling
from gzfeatures.galaxies.splits.related_galaxies import Grouping
from gzfeatures.galaxies.splits.split_file import known_of
from gzfeatures.ids import as_ids


def catalog(**columns: object) -> Catalog:
    return Catalog.of(pd.DataFrame({"galaxy_id": ["a", "b", "c"]} | columns))


# positions

FORMS = [
    ("{h:02d}:{m:02d}:{s:06.3f}", "{sign}{d:02d}:{m:02d}:{s:05.2f}"),
    ("{h:02d} {m:02d} {s:06.3f}", "{sign}{d:02d} {m:02d} {s:05.2f}"),
    ("{h}h{m}m{s:.2f}s", "{sign}{d}d{m}m{s:.2f}s"),
    (" {h}h {m}m {s:.1f}s ", "{sign}{d}d{m}'{s:.1f}\""),
]


@pytest.mark.parametrize(("hours", "angles"), FORMS)
def test_every_sexagesimal_form_is_read_as_astropy_reads_it(hours: str, angles: str) -> None:
    random = np.random.default_rng(0)
    parts = [
        {"h": h, "d": d, "m": m, "s": s, "sign": sign}
        for h, d, m, s, sign in zip(
            random.integers(0, 24, 200).tolist(),
            random.integers(0, 90, 200).tolist(),
            random.integers(0, 60, 200).tolist(),
            random.uniform(0, 59.9, 200).tolist(),
            random.choice(["+", "-", ""], 200).tolist(),
            strict=True,
        )
    ]
    ra, dec = ([form.format(**part) for part in parts] for form in (hours, angles))
    read = Catalog.of(
        pd.DataFrame({"galaxy_id": [f"g{k}" for k in range(200)], "RA": ra, "DEC": dec})
    )
    np.testing.assert_allclose(
        read.column("ra"), Angle(ra, unit=units.hourangle).degree, atol=1e-10
    )
    np.testing.assert_allclose(read.column("dec"), Angle(dec, unit=units.deg).degree, atol=1e-10)
    assert any("hours, minutes and seconds" in note for note in read.notes)


def test_a_position_south_of_the_equator_by_less_than_a_degree_stays_south() -> None:
    assert catalog(dec=["-00:10:05", "+00:10:05", None]).column("dec")[0] == pytest.approx(
        -0.168056, abs=1e-6
    )


def test_one_cell_can_hold_a_whole_position() -> None:
    texts = ["12 34 56.7 +01 02 03", "12:34:56.7-01:02:03", "00h00m01s, -00d00m01s"]
    read = catalog(coordinates=texts)
    there = SkyCoord(
        [text.replace(",", "") for text in texts[::2]], unit=(units.hourangle, units.deg)
    )
    np.testing.assert_allclose(read.column("ra")[::2], there.ra.degree, atol=1e-10)
    np.testing.assert_allclose(read.column("dec")[::2], there.dec.degree, atol=1e-10)
    assert read.column("dec")[1] == pytest.approx(-1.034167, abs=1e-6)


@pytest.mark.parametrize(
    "cell", ["25:00:00", "12:60:00", "12:34", "180.5", "somewhere", "12:34:56.7 extra", "1234:5:6"]
)
def test_a_position_nobody_can_tell_is_refused_by_what_the_cell_holds(
    cell: str, tmp_path: Path
) -> None:
    read = catalog(ra=["12:00:30.5", cell, "12:00:32"], dec=[1.0, 2.0, 3.0])
    with pytest.raises(
        InputError, match=r"ra holds text: . of 3 cells are no number, the first in row 0: '12:00:"
    ):
        read.column("ra")
    read.frame.to_csv(tmp_path / "t.csv", index=False)
    found = Catalog.examine(tmp_path / "t.csv")
    assert found.refused and {problem.id for problem in found.problems} >= {"a", "c"}


def test_a_position_off_the_sky_is_refused_whatever_it_was_written_in() -> None:
    with pytest.raises(InputError, match=r"must lie in \[-90, 90\] degrees"):
        catalog(ra=["12:00:30.5"] * 3, dec=["+91:00:00"] * 3)


@pytest.mark.parametrize("name", ["RA", "Ra", "RAJ2000", "ra_deg"])
def test_usual_names_of_positions_are_known(name: str) -> None:
    assert catalog(**{name: [1.0, 2.0, 3.0]}).column("ra").tolist() == [1, 2, 3]


def test_units_of_the_file_are_heeded() -> None:
    frame = pd.DataFrame({"galaxy_id": ["a"], "ra": [1.5], "dec": [0.5], "petroR90_r": [0.1]})
    frame.attrs["units"] = {"ra": "h", "dec": "rad", "petroR90_r": "arcmin"}
    read = quantities.understood(frame)
    assert read["ra"].tolist() == pytest.approx([22.5]) and read[
        "petroR90_r"
    ].tolist() == pytest.approx([6])
    assert (
        read["dec"].tolist() == pytest.approx([np.degrees(0.5)]) and len(read.attrs["notes"]) == 3
    )
    assert frame["ra"].tolist() == [1.5]
    frame.attrs["units"] = {"petroR90_r": "pix"}
    assert quantities.understood(frame)["ra"].tolist() == [1.5]  # the other columns stay usable
    with pytest.raises(
        InputError,
        match="petroR90_r is in pix, which cannot be converted to arcsec; must be numbers",
    ):
        quantities.required(quantities.understood(frame), "petro_r90", "t")


@pytest.mark.parametrize(
    ("unit", "degrees"),
    [
        *[(unit, np.degrees(0.5)) for unit in ("rad", "radians", "Radians", "RADIAN", "rads")],
        *[(unit, 7.5) for unit in ("h", "hrs", "Hours", "hourangle", "hr.")],
        *[(unit, 0.5 / 60) for unit in ("arcminutes", "arcmins", "Arcminute", "'")],
        *[(unit, 0.5 / 3600) for unit in ("arcseconds", "ARCSEC", '"')],
        *[(unit, 0.5 / 3.6e6) for unit in ("mas", "MAS")],
        *[(unit, 0.5) for unit in ("deg", "deg.", "degrees", "Degrees", "decimal degrees", "--")],
    ],
)
def test_spellings_of_a_unit_are_converted_and_sentinels_are_kept(
    unit: str, degrees: float
) -> None:
    frame = pd.DataFrame({"galaxy_id": ["a", "b", "c"], "ra": [0.5, -9999.0, -999.0]})
    frame.attrs["units"] = {"ra": unit}
    read = quantities.understood(frame)
    assert read["ra"].tolist() == pytest.approx([degrees, -9999, -999], rel=1e-12)
    assert len(read.attrs["notes"]) == (degrees != 0.5)


@pytest.mark.parametrize("unit", ["pixels", "Pix.", "sexagesimal", "?", "as", "dex", "mag", "min"])
def test_a_unit_that_is_no_known_angle_is_refused_not_taken_for_the_usual_one(unit: str) -> None:
    frame = pd.DataFrame({"galaxy_id": ["a"], "ra": [0.5], "PETROR90_R": [3.0]})
    frame.attrs["units"] = {"ra": unit, "PETROR90_R": unit}
    read = quantities.understood(frame)
    assert read["ra"].tolist() == [0.5] and read["PETROR90_R"].tolist() == [3.0]
    for name, ours in (("ra", "deg"), ("petro_r90", "arcsec")):
        message = (
            f"is in {re.escape(unit)}, which cannot be converted to {ours}; .*correct the unit"
        )
        with pytest.raises(InputError, match=message):
            quantities.required(read, name, "t")


def _write(table: Table, path: Path, kind: str) -> Path:
    """The table as astropy writes it with its units; the kind is an ending, perhaps with the name
    of a dialect."""
    path = path / f"t.{kind.rpartition(' ')[2]}"
    options = {
        "h5": {"path": "a/t", "serialize_meta": True},
        "ecsv": {"format": "ascii.ecsv"},
        "vot": {"format": "votable"},
    }.get(kind, {})
    if kind == "VOTable parquet":
        options = {"format": "parquet.votable", "metadata": {name: {} for name in table.colnames}}
    table.write(path, **options)
    return path


@pytest.mark.parametrize("kind", ["ecsv", "parquet", "VOTable parquet", "h5", "fits", "vot"])
@pytest.mark.parametrize("mixins", [False, True])
def test_units_that_astropy_writes_are_heeded_in_every_format(
    tmp_path: Path, kind: str, mixins: bool
) -> None:
    table = (QTable if mixins else Table)({"galaxy_id": ["a", "b"], "ra": [1.5, 2] * units.rad})
    table["dec"] = [0.25, -0.5] * units.rad
    table["petroR90_r"] = [0.1, 0.2] * units.arcmin
    path = _write(table, tmp_path, kind)
    read = Catalog.read(path)
    assert read.column("ra").tolist() == pytest.approx(np.degrees([1.5, 2]))
    assert read.column("dec").tolist() == pytest.approx(np.degrees([0.25, -0.5]))
    assert read.column("petro_r90").tolist() == pytest.approx([6, 12])
    assert sum("rad" in note for note in read.notes) == 2, read.notes


@pytest.mark.parametrize(
    "header",
    [
        b"\xff\xfe",
        b"nothing of astropy: 1",
        b"datatype: [",
        b"datatype:\n- {name: ra, unit: rad",
        b"datatype:\n- ra\n- dec",
        b"datatype:\n- {name: ra, unit: {a: b}}",
        b"datatype:\n- {name: ra, unit: " + b"[" * 5000,
        b"datatype:\n- !!python/object/apply:os.mkdir [TOUCHED]",
    ],
)
def test_a_damaged_header_of_units_is_said_and_runs_nothing(tmp_path: Path, header: bytes) -> None:
    header = header.replace(b"TOUCHED", str(tmp_path / "touched").encode())
    table = pa.table({"galaxy_id": ["a", "b"], "ra": [1.5, 2]})
    pq.write_table(
        table.replace_schema_metadata({b"table_meta_yaml": header}), tmp_path / "t.parquet"
    )
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["t"] = np.array([(b"a", 1.5), (b"b", 2)], [("galaxy_id", "S1"), ("ra", "f8")])
        file["t.__table_column_meta__"] = np.array(header.split(b"\n"))
    for name in ("t.parquet", "t.h5"):
        read = Catalog.read(tmp_path / name)
        assert read.column("ra").tolist() == [1.5, 2] and not (tmp_path / "touched").exists()
        assert ["units stand in the file and cannot be read" in note for note in read.notes] == [
            True
        ]


@pytest.mark.parametrize("head", ["", '<!DOCTYPE x [<!ENTITY e "rad">]>'])
def test_an_embedded_votable_is_read_for_its_units_alone(tmp_path: Path, head: str) -> None:
    fields = '<FIELD name="ra" unit="rad"/><STREAM href="file:///nowhere"/>'
    content = f"{head}<VOTABLE><RESOURCE><TABLE>{fields}</TABLE></RESOURCE></VOTABLE>"
    table = pa.table({"galaxy_id": ["a"], "ra": [1.5]})
    pq.write_table(
        table.replace_schema_metadata({"IVOA.VOTable-Parquet.content": content}),
        tmp_path / "t.parquet",
    )
    read = Catalog.read(tmp_path / "t.parquet")
    assert read.column("ra").tolist() == pytest.approx([1.5 if head else np.degrees(1.5)])
    assert ["declares the entity e" in note for note in read.notes] == [bool(head)]


def test_files_of_one_folder_are_in_one_unit(tmp_path: Path) -> None:
    for number, unit in enumerate(["rad", "rad", "deg"]):
        table = Table({"galaxy_id": [f"g{number}"], "ra": [1.5] * units.Unit(unit)})
        table.write(tmp_path / f"{number}.parquet")
        if number == 1:
            assert Catalog.read(tmp_path).column("ra").tolist() == pytest.approx(
                np.degrees([1.5, 1.5])
            )
    with pytest.raises(
        InputError,
        match=r"2.parquet, column ra: .*must be in rad, as in the files before, found deg",
    ):
        Catalog.read(tmp_path)


@pytest.mark.parametrize("unit", ["mag(AB)", "dex", "ABmag", "1", "pix", "?"])
def test_a_magnitude_is_left_as_it_is_whatever_its_unit_is_called(unit: str) -> None:
    frame = pd.DataFrame({"galaxy_id": ["a"], "PETROMAG_MR": [-21.5]})
    frame.attrs["units"] = {"PETROMAG_MR": unit}
    assert quantities.required(quantities.understood(frame), "petro_mag_r_abs", "t").tolist() == [
        -21.5
    ]


def test_check_names_a_column_in_a_unit_of_another_quantity(tmp_path: Path) -> None:
    table = Table({"galaxy_id": ["a", "b"], "petroR90_r": [4.0, 5.0] * units.pix})
    table.write(tmp_path / "t.fits")
    found = Catalog.examine(tmp_path / "t.fits")
    assert found.refused and [problem.rule for problem in found.problems] == [
        "petroR90_r must be in arcsec"
    ]


def test_a_text_that_looks_sexagesimal_in_another_column_stays_text() -> None:
    assert (
        catalog(observed=["12:00:30", "12:00:31", "12:00:32"]).frame["observed"].tolist()[0]
        == "12:00:30"
    )


# redshift


@pytest.mark.parametrize("name", ["z", "Z"])
def test_z_beside_g_and_r_or_with_a_large_median_is_a_magnitude(name: str) -> None:
    beside = catalog(**{"g": [0.1] * 3, "r": [0.1] * 3, name: [0.05, 0.06, 0.07]})
    assert not beside.has_column("redshift")
    with pytest.raises(
        InputError, match=f"{name} stands beside g and r: a magnitude; must be numbers for redshift"
    ):
        beside.column("redshift")
    large = catalog(**{name: [17.2, 18.1, -9999.0]})
    with pytest.raises(InputError, match=f"column {name} has a median of 17.[67]"):
        large.column("redshift")
    near = catalog(**{name: [0.05, 9.1, -9999.0]})
    assert near.column("redshift").tolist() == [0.05, 9.1, -9999]


def test_under_redshift_values_up_to_20_are_redshifts(tmp_path: Path) -> None:
    read = catalog(redshift=[20.0, 14.3, 8.1])
    labels = Labels(read.ids, ("x",), np.zeros(3, dtype=np.int64))
    assert sampling.sample(read, labels, "low-redshift", per_class=3).ids.tolist() == [
        "a",
        "b",
        "c",
    ]
    read.frame.assign(redshift=[21.0, 1, 1]).to_csv(tmp_path / "t.csv", index=False)
    rules = [problem.rule for problem in Catalog.examine(tmp_path / "t.csv").problems]
    assert rules == ["redshift must be a redshift of at most 20"]


def test_a_magnitude_called_z_gives_way_to_a_redshift_of_another_name() -> None:
    read = catalog(z=[17.0, 18.0, 19.0], REDSHIFT=[0.1, 0.2, 0.3])
    assert read.column("redshift").tolist() == [0.1, 0.2, 0.3]
    assert read.notes == ["z is not read as redshift: it has a median of 18: magnitudes"]


def test_two_columns_for_one_purpose_are_said() -> None:
    read = catalog(z=[0.1, 0.2, 0.3], REDSHIFT=[0.1, 0.2, 0.3])
    assert read.notes == ["redshift is read from REDSHIFT; z is there too and not read"]


# check


def test_check_says_in_a_line_what_every_column_is_used_for(tmp_path: Path) -> None:
    rows = [
        "objid,RA,DEC,z,petroR90_r,note",
        "1,12:00:30.5,-00:10:05,0.05,4.5,x",
        "2,12:00:31.5,+00:10:05,,6.5,y",
    ]
    (tmp_path / "t.csv").write_text("\n".join([*rows, ""]))
    result = gz("check", tmp_path / "t.csv", "-o", tmp_path / "clean.parquet")
    assert result.returncode == 0, result.stderr
    lines = {line.split(" → ")[0]: line for line in result.stdout.splitlines() if " → " in line}
    assert list(lines) == ["objid", "z", "petroR90_r", "RA", "DEC"]
    assert lines["objid"] == "objid → galaxy_id: text, 0 missing, 1 to 2; 1, 2"
    assert lines["z"] == "z → redshift: number, 1 missing, 0.05 to 0.05; 0.05"
    assert (
        lines["petroR90_r"]
        == "petroR90_r → petro_r90: number in arcsec, 0 missing, 4.5 to 6.5; 4.5, 6.5"
    )
    assert (
        lines["RA"] == "RA → ra: number in deg, 0 missing, 180.1271 to 180.1312; 180.1271, 180.1312"
    )
    clean = Catalog.read(tmp_path / "clean.parquet")
    assert clean.column("dec").tolist() == pytest.approx([-0.168056, 0.168056], abs=1e-6)
    assert clean.ids.tolist() == ["1", "2"] and clean.frame["note"].tolist() == ["x", "y"]
    used = json.loads(gz("check", tmp_path / "t.csv", "--json").stdout)["used"]
    assert used[1] == {
        "column": "z",
        "name": "redshift",
        "type": "number",
        "unit": "",
        "missing": 1,
        "least": 0.05,
        "largest": 0.05,
        "values": [0.05],
    }


def test_check_lists_the_problems_of_a_table_that_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("objid,ra,z\n1,10,.1\n,11,.2\n3,12,.3\n")
    plain = gz("check", tmp_path / "t.csv")
    told = gz("check", tmp_path / "t.csv", "-o", tmp_path / "clean.csv")
    assert (plain.returncode, told.returncode) == (1, 1) and told.stdout == plain.stdout
    assert "objid → galaxy_id: text, 1 missing" in told.stdout and "row 1" in told.stdout
    assert not (tmp_path / "clean.csv").exists() and "clean.csv is not written" in told.stderr
    assert "gzfeatures check" not in told.stderr
    assert json.loads(
        gz("check", tmp_path / "t.csv", "-o", tmp_path / "clean.csv", "--json").stdout
    )["problems"]


@pytest.mark.parametrize(
    ("header", "row", "rule"),
    [
        ("galaxy_id,ra", "a,here", "ra must hold numbers or one sexagesimal form"),
        ("galaxy_id,redshift", "a,far", "redshift must hold numbers"),
        ("galaxy_id,label", "a,None", "label must be a class or nobody's answer"),
        (
            "galaxy_id,smooth-or-featured-lsst_smooth",
            "a,3",
            "votes must be of a campaign that is known",
        ),
        ("galaxy_id,objid", "a,1.237678598634734e+18", "objid must keep every digit of its ids"),
        ("galaxy_id,ra", "a,400", "ra must lie in"),
        ("galaxy_id,class5", "a,None", "class5 must be a class of zhu-5class or empty"),
    ],
)
def test_check_does_not_end_well_where_another_verb_would_refuse(
    tmp_path: Path, header: str, row: str, rule: str
) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\n{row}\n")
    result = gz("check", tmp_path / "t.csv", "--json")
    assert result.returncode == 1
    found = json.loads(result.stdout)
    assert found["refused"] is True and [
        rule in problem["rule"] for problem in found["problems"]
    ] == [True]


def test_an_id_column_of_any_name_serves_every_verb_that_is_told_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("thing,ra,dec,redshift\n007,1,2,.1\n1e5,2,3,.2\n")
    refused = gz("check", tmp_path / "t.csv")
    assert (
        refused.returncode == 1 and "name the column of the ids with --id COLUMN" in refused.stderr
    )
    found = gz("check", tmp_path / "t.csv", "--id", "thing", "-o", tmp_path / "clean.csv")
    assert found.returncode == 0 and "thing → galaxy_id: text, 0 missing" in found.stdout
    assert Catalog.read(tmp_path / "clean.csv").ids.tolist() == ["007", "1e5"]
    absent = gz("check", tmp_path / "t.csv", "--id", "name")
    assert absent.returncode == 1 and "must have name" in absent.stderr


def test_another_id_column_leaves_the_rest_usable_where_one_has_lost_its_digits(
    tmp_path: Path,
) -> None:
    lost = "objid,name,redshift\n1.237678598634734e+18,n1,.1\n1.237678598634735e+18,n2,.2\n"
    (tmp_path / "t.csv").write_text(lost)
    refused = gz("check", tmp_path / "t.csv")
    assert refused.returncode == 1 and "row 0" in refused.stderr and "--id OTHER" in refused.stderr
    told = gz("check", tmp_path / "t.csv", "--id", "name")
    assert told.returncode == 0 and "it is no key of a join" in told.stdout
    assert Catalog.read(tmp_path / "t.csv", id_column="name").column("redshift").tolist() == [
        0.1,
        0.2,
    ]


def test_numbers_in_degrees_are_left_as_they_are() -> None:
    assert sexagesimal.degrees(pd.Series(["180.5", "181.5"]), hours=True) is None
    assert catalog(ra=[180.5, 181.5, 182.5]).notes == []


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("deg (J2000)", 3600),
        ("degrees J2000", 3600),
        ("[deg]", 3600),
        ("Angle[deg]", 3600),
        ("decimal deg", 3600),
        ("arc-sec", 1),
        ("arc seconds", 1),
        ("asec", 1),
        ("unitless", 1),
    ],
)
def test_usual_spellings_of_angles_are_read(unit: str, factor: float) -> None:
    frame = pd.DataFrame({"petro_r90": [2.0]})
    frame.attrs["units"] = {"petro_r90": unit}
    assert quantities.understood(frame)["petro_r90"].tolist() == [2.0 * factor]


def test_positions_in_an_unknown_unit_are_no_reason_to_part_neighbours(tmp_path: Path) -> None:
    table = Table(
        {"galaxy_id": ["1", "2"], "label": ["a", "b"], "ra": [9.0, 9.0], "dec": [1.0, 1.0]}
    )
    table["ra"].unit, table["dec"].unit = "pixel", "pixel"
    table.write(tmp_path / "labels.fits")
    for groups in (
        lambda: known_of(tmp_path / "labels.fits", as_ids(["1", "2"]), 5.0),
        lambda: Grouping().near(Catalog.read(tmp_path / "labels.fits"), as_ids(["1", "2"]), 5.0),
    ):
        with pytest.raises(InputError, match=r"ra is in pix.*, which cannot be converted to deg"):
            groups()
