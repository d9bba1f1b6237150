"""HATS catalogs written, read and joined by partitions: every digit, and pairs across borders."""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from verbs import called, gz

from gzfeatures.errors import InputError, MissingExtraError, OutputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.catalog_join import JoinKind, Rows
from gzfeatures.galaxies.catalogs.quantities import understood
from gzfeatures.galaxies.hats_catalogs.folder import HatsFolder
from gzfeatures.galaxies.hats_catalogs.output import source_in_memory, write_catalog
from gzfeatures.galaxies.hats_catalogs.partition import (
    Partition,
    angles,
    divided,
    index_of,
    unit_vectors,
)
from gzfeatures.galaxies.hats_catalogs.partitioned_join import hats_joined, hats_joined_sky
from gzfeatures.galaxies.hats_catalogs.writer import write_hats
from gzfeatures.tablefiles.tables import plain, read_table
from gzfeatures.verbs.partitioned import join_partitions

pytest.importorskip("hats")

ARCSEC = 1 / 3600
EVERYTHING = JoinKind(keep_all=True, suffix="_2")


def survey(count: int, seed: int) -> pa.Table:
    """Galaxies on the whole sky, and many on the borders of partitions, with ids of all digits."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.random(count) * 360, np.degrees(np.arcsin(2 * rng.random(count) - 1))
    # pixels of every order meet at ra 0, 90 … beyond 42° of declination, and at the poles
    border = rng.integers(0, 4, count // 4) * 90
    dec[: count // 4] = rng.uniform(45, 80, count // 4)
    ra[: count // 4] = (border + rng.normal(scale=5 * ARCSEC, size=count // 4)) % 360
    dec[count // 4 : count // 4 + 40] = 90 - np.abs(rng.normal(scale=30 * ARCSEC, size=40))
    ids = rng.permutation(count).astype(np.uint64) + np.uint64(2**64 - 2 * count)
    gaps = rng.random(count) < 0.3
    return pa.table(
        {
            "object_id": pa.array(ids),
            "ra": ra,
            "dec": dec,
            "plate": pa.array(rng.integers(2**62, 2**63 - 1, count), mask=gaps),
            "mag": pa.array(rng.normal(20, 1, count).astype(np.float32), mask=gaps),
            "name": pa.array([f"J{k}" for k in range(count)], mask=~gaps),
        }
    )


def stored(path: Path) -> pa.Table:
    """All rows of a HATS catalog as its files store them, sorted by id."""
    folder = HatsFolder.open(path)
    table = pa.concat_tables([folder.rows(partition) for partition in folder.files])
    return table.sort_by("object_id")


@pytest.fixture(scope="module")
def catalogs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two HATS catalogs of other partitions: the second is the first, moved by about a radius."""
    folder = tmp_path_factory.mktemp("hats")
    first = survey(6000, 0)
    rng = np.random.default_rng(1)
    dec = np.clip(first["dec"].to_numpy() + rng.normal(scale=2 * ARCSEC, size=6000), -90, 90)
    shift = rng.normal(scale=2 * ARCSEC, size=6000) / np.maximum(np.cos(np.radians(dec)), 1e-6)
    second = pa.table(
        {
            "key": rng.permutation(6000),
            "ra": (first["ra"].to_numpy() + shift) % 360,
            "dec": dec,
            "z": pa.array(rng.random(6000), mask=rng.random(6000) < 0.5),
            "serial": pa.array(rng.integers(2**63, 2**64 - 1, 6000, dtype=np.uint64)),
        }
    ).take(pa.array(rng.permutation(6000)[:5000]))
    pq.write_table(first, folder / "first.parquet")
    pq.write_table(second, folder / "second.parquet")
    write_hats(first, folder / "first.hats", "ra", "dec", most_rows=300)
    write_hats(second, folder / "second.hats", "ra", "dec", most_rows=900)
    return folder


def test_rows_come_back_with_every_digit_null_and_type(catalogs: Path, tmp_path: Path) -> None:
    first = pq.read_table(catalogs / "first.parquet").sort_by("object_id")
    folder = HatsFolder.open(catalogs / "first.hats")
    assert len(folder.files) > 30 and (folder.ra, folder.dec) == ("ra", "dec")
    assert max(folder.count(each) for each in folder.files) <= 300
    table = stored(catalogs / "first.hats")
    assert table.drop_columns(["_healpix_29"]).equals(first)
    # through the verb: the ids are text in memory, and integers again in what it writes
    result = gz("check", catalogs / "first.parquet", "-o", tmp_path / "again.hats")
    assert result["rows"] == 6000
    again = stored(tmp_path / "again.hats").drop_columns(["_healpix_29", "galaxy_id"])
    assert again.select(["object_id", "ra", "dec", "plate"]).equals(
        first.select(["object_id", "ra", "dec", "plate"])
    )
    frame = read_table(tmp_path / "again.hats").sort_values("object_id")
    assert frame["object_id"].tolist() == [str(value) for value in first["object_id"].to_pylist()]


def test_rows_lie_in_their_partition_in_order(catalogs: Path) -> None:
    folder = HatsFolder.open(catalogs / "first.hats")
    for partition in folder.files:
        index = folder.rows(partition)["_healpix_29"].to_numpy()
        low, high = partition.range
        assert (np.diff(index) >= 0).all() and (index >= low).all() and (index < high).all()
        centre, radius = partition.circle
        assert (angles(folder.places(partition), centre) <= radius).all()


def test_the_library_of_hats_reads_what_is_written(catalogs: Path) -> None:
    import hats
    from hats.io.validation import is_valid_catalog

    path = catalogs / "first.hats"
    assert is_valid_catalog(path, strict=True, verbose=False)
    catalog = hats.read_hats(path)
    folder = HatsFolder.open(path)
    pixels = {(each.order, each.pixel) for each in catalog.get_healpix_pixels()}
    assert pixels == {(each.order, each.pixel) for each in folder.files}
    properties = catalog.catalog_info
    assert properties.total_rows == 6000 and properties.ra_column == "ra"
    assert catalog.schema.field("object_id").type == pa.uint64()


def test_lsdb_reads_and_matches_what_is_written(catalogs: Path) -> None:
    lsdb = pytest.importorskip("lsdb")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = lsdb.open_catalog(catalogs / "first.hats").compute()
    first = pq.read_table(catalogs / "first.parquet")
    assert sorted(frame["object_id"].tolist()) == sorted(first["object_id"].to_pylist())
    assert int(frame["plate"].isna().sum()) == first["plate"].null_count


@pytest.mark.parametrize("radius", [1.5, 6.0])
def test_pairs_across_borders_are_those_of_the_whole_sky(
    radius: float, catalogs: Path, tmp_path: Path
) -> None:
    whole, report = Catalog.read(catalogs / "first.parquet").join_sky(
        Rows.read(catalogs / "second.parquet", ()), radius, kind=JoinKind(suffix="_2")
    )
    pairs = set(zip(whole.frame["object_id"].astype(object), whole.frame["key"], strict=True))
    for name in ("second.hats", "second.parquet"):
        output = tmp_path / f"{name}.hats"
        counts = join_partitions(
            catalogs / "first.hats", catalogs / name, output, sky=radius, kind=EVERYTHING
        )
        table = stored(output)
        known = table.filter(pa.compute.is_valid(table["key"]))
        found = {
            (str(one), two)
            for one, two in zip(
                known["object_id"].to_pylist(), known["key"].to_pylist(), strict=True
            )
        }
        assert found == pairs and len(table) == 6000
        assert counts.matched == report.matched > 1000 and counts.unused == report.unused
        assert counts.by_chance == pytest.approx(report.by_chance, abs=0.02)
        assert counts.median_arcsec == pytest.approx(report.median_arcsec, abs=1e-6)
        kept = table.select(["object_id", "ra", "dec", "plate", "mag", "name"])
        assert kept.equals(pq.read_table(catalogs / "first.parquet").sort_by("object_id"))
        assert table.schema.field("serial").type == pa.uint64()
        serial = dict(zip(known["key"].to_pylist(), known["serial"].to_pylist(), strict=True))
        second = pq.read_table(catalogs / "second.parquet")
        true = dict(zip(second["key"].to_pylist(), second["serial"].to_pylist(), strict=True))
        assert serial == {key: true[key] for key in serial}


def test_pairs_of_a_dense_field_are_right_where_partitions_are_as_small_as_the_radius(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(3)
    tables = []
    for name in ("object_id", "key"):
        # around ra 0 where three of the twelve largest pixels meet
        ra = rng.normal(scale=0.012, size=600) % 360
        dec = 41.8103 + rng.normal(scale=0.008, size=600)
        tables.append(pa.table({name: np.arange(600), "ra": ra, "dec": dec}))
        write_hats(tables[-1], tmp_path / f"{name}.hats", "ra", "dec", most_rows=8)
    folder = HatsFolder.open(tmp_path / "object_id.hats")
    assert len(folder.files) > 100 and max(each.order for each in folder.files) > 12
    frames = [table.to_pandas() for table in tables]
    whole, _ = Catalog.of(frames[0]).join_sky(Rows(frames[1]), 8.0)
    counts = join_partitions(
        tmp_path / "object_id.hats", tmp_path / "key.hats", tmp_path / "both.hats", sky=8.0
    )
    table = stored(tmp_path / "both.hats")
    found = set(zip(table["object_id"].to_pylist(), table["key"].to_pylist(), strict=True))
    true = set(zip(map(int, whole.frame["object_id"]), whole.frame["key"], strict=True))
    assert found == true and counts.matched == len(true) > 200


def test_pairs_lie_in_other_partitions_where_this_is_tested(catalogs: Path, tmp_path: Path) -> None:
    """Else the test above would pass without any search across borders."""
    output = tmp_path / "both.hats"
    join_partitions(
        catalogs / "first.hats", catalogs / "second.hats", output, sky=6.0, kind=EVERYTHING
    )
    table = stored(output)
    table = table.filter(pa.compute.is_valid(table["key"]))
    theirs = index_of(table["ra_2"].to_numpy(), table["dec_2"].to_numpy())
    parts = list(HatsFolder.open(catalogs / "second.hats").files)
    starts = np.array([each.range[0] for each in parts])
    ours = np.searchsorted(starts, table["_healpix_29"].to_numpy(), "right")
    assert (ours != np.searchsorted(starts, theirs, "right")).sum() > 50


def test_predictions_join_a_partitioned_catalog_by_its_ids(catalogs: Path, tmp_path: Path) -> None:
    first = pq.read_table(catalogs / "first.parquet")
    ids = first["object_id"].to_pylist()[:4000]
    names = [str(name) for name in [*ids, *ids[-3:], 7]]
    frame = pd.DataFrame({"galaxy_id": names, "predicted_class": "spiral", "spiral": 0.5})
    frame["votes"] = np.arange(len(frame))
    frame.to_csv(tmp_path / "p.csv", index=False)
    words = ["--on", "object_id=galaxy_id", "--all", "-o", tmp_path / "out.hats"]
    result = gz("join", catalogs / "first.hats", tmp_path / "p.csv", *words)
    assert (result["matched"], result["doubled"], result["unmatched"]) == (3997, 3, 2003)
    table = stored(tmp_path / "out.hats")
    assert table.select(first.column_names).equals(first.sort_by("object_id"))
    votes = dict(zip(table["object_id"].to_pylist(), table["votes"].to_pylist(), strict=True))
    assert [votes[name] for name in ids[:3997]] == list(range(3997))
    assert all(votes[name] is None for name in ids[3997:])
    assert table.schema.field("votes").type == pa.int64()


def test_a_catalog_of_one_place_is_one_partition_and_the_poles_have_theirs() -> None:
    index = np.full(100, Partition(29, 5).range[0])
    assert [(each.order, stop - start) for each, start, stop in divided(index, 10)] == [(29, 100)]
    for dec in (-90.0, 90.0):
        place = unit_vectors(np.array([12.0]), np.array([dec]))
        held = [Partition(0, pixel).circle for pixel in range(12)]
        assert sum(angles(place, centre)[0] <= radius for centre, radius in held) >= 4


def test_what_cannot_be_right_is_refused_and_leaves_nothing(
    catalogs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = catalogs / "first.hats"
    with pytest.raises(OutputError, match="HATS catalog would be written over"):
        join_partitions(first, catalogs / "second.hats", first, sky=1.0)
    lost = pq.read_table(catalogs / "first.parquet").slice(0, 3)
    lost = lost.set_column(1, "ra", pa.array([1.0, None, 2.0]))
    with pytest.raises(InputError, match=r"row 1: row without a position.*1 of 3 rows"):
        write_hats(lost, tmp_path / "lost.hats", "ra", "dec")
    with pytest.raises(InputError, match="no galaxy has a partner"):
        join_partitions(first, catalogs / "second.hats", tmp_path / "none.hats", sky=1e-5)
    with pytest.raises(InputError, match=r"key column is missing.*object"):
        join_partitions(first, catalogs / "second.parquet", tmp_path / "x.hats", on="objid=key")
    with pytest.raises(InputError, match="no HATS catalog"):
        HatsFolder.open(tmp_path)
    monkeypatch.setitem(sys.modules, "hats", None)
    with pytest.raises(MissingExtraError, match=r"gzfeatures\[hats\]"):
        write_catalog(Catalog.read(catalogs / "first.parquet"), tmp_path / "y.hats")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["Norder=99/Dir=0/Npix=1", "Norder=0/Dir=0/Npix=12"])
def test_a_partition_that_no_sky_has_is_refused(place: str, catalogs: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(catalogs / "second.hats", tmp_path / "x.hats"))
    file = sorted((root / "dataset").rglob("Npix=*.parquet"))[0]
    target = root / "dataset" / f"{place}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    file.rename(target)
    with pytest.raises(InputError, match=r"no such part of the sky.*order of 0 to 29"):
        HatsFolder.open(root)


def test_a_position_outside_of_its_partition_is_refused(catalogs: Path, tmp_path: Path) -> None:
    """As hats-import files a row without a position somewhere on the sky."""
    table = pq.read_table(catalogs / "first.parquet").slice(0, 2000)
    write_hats(table, tmp_path / "a.hats", "ra", "dec", most_rows=300)
    folder = HatsFolder.open(tmp_path / "a.hats")
    partition = next(each for each in folder.files if folder.count(each) > 20)
    file = folder.files[partition][0]
    rows = pq.read_table(file, partitioning=None)
    ra = rows["ra"].to_numpy().copy()
    ra[3] = (ra[3] + 90) % 360
    pq.write_table(rows.set_column(1, "ra", pa.array(ra)), file)
    with pytest.raises(InputError, match=r"row 3: position lies outside of its partition"):
        join_partitions(tmp_path / "a.hats", catalogs / "second.hats", tmp_path / "b.hats", sky=1.0)
    ra[3] = np.nan
    pq.write_table(rows.set_column(1, "ra", pa.array(ra)), file)
    counts = join_partitions(
        tmp_path / "a.hats", catalogs / "second.hats", tmp_path / "b.hats", sky=6.0, kind=EVERYTHING
    )
    assert counts.blank == 1


def test_a_collection_as_lsdb_writes_it_is_its_primary_catalog(
    catalogs: Path, tmp_path: Path
) -> None:
    first = catalogs / "first.hats"
    collection = tmp_path / "collection"
    (collection / "margin").mkdir(parents=True)
    shutil.copytree(first, collection / "main")
    (collection / "collection.properties").write_text(
        "#HATS Collection\nobs_collection=main\nhats_primary_table_url=main\n"
    )
    assert len(HatsFolder.open(collection).files) == len(HatsFolder.open(first).files)
    shown = called(
        "join", collection, catalogs / "second.hats", "--sky", "6", "-o", tmp_path / "o.hats"
    )
    assert shown.returncode == 0 and "partitions written" in shown.stderr


def small_sky(folder: Path) -> tuple[Catalog, HatsFolder]:
    """Four galaxies in memory and as a HATS catalog; two lie where −9999 would be modulo 360°."""
    columns = {
        "objid": [1, 2, 3, 4],
        "plate": [7, 7, 8, 9],
        "ra": [81.0, 10.0, 200.0, 261.0],
        "dec": [81.0, 0.0, -45.0, 81.0],
    }
    catalog = Catalog.of(pd.DataFrame(columns))
    write_catalog(catalog, folder / "small.hats")
    return catalog, HatsFolder.open(folder / "small.hats")


def test_a_sentinel_is_no_position_as_in_memory(tmp_path: Path) -> None:
    catalog, folder = small_sky(tmp_path)
    places = {"ra": [-9999.0, -9999.0, 10.0], "dec": [-9999.0, 81.0, 0.0], "v": [1, 2, 3]}
    rows = Rows(understood(plain(pd.DataFrame(places))))
    joined = catalog.join_sky(rows, 5.0)[0].frame
    source = source_in_memory(rows.frame, "rows")
    report = hats_joined_sky(folder, source, 5.0, tmp_path / "j.hats", JoinKind())
    divided_join = read_table(tmp_path / "j.hats")
    assert joined["v"].tolist() == divided_join["v"].tolist() == [3]
    assert (report.matched, report.unmatched, report.unused) == (1, 3, 2)


def test_rows_that_several_galaxies_match_are_counted_as_in_memory(tmp_path: Path) -> None:
    catalog, folder = small_sky(tmp_path)
    table = pd.DataFrame({"plate": [7, 8, 8, 5, None], "survey": list("vwxyz")})
    rows = Rows(understood(plain(table)))
    counted = catalog.join(rows, "plate", "plate")[1]
    report = hats_joined(folder, rows, ("plate", "plate"), tmp_path / "j.hats", JoinKind())
    assert (report.matched, report.unused) == (counted.matched, counted.unused) == (2, 2)
