"""Embedding tables go to other programs and come back; nothing is lost or guessed on the way."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import duckdb
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tables_of import table_of
from verbs import called, gz

from gzfeatures.errors import InputError
from gzfeatures.features.exchange.table_export import export_table
from gzfeatures.features.exchange.table_import import VectorSource, import_table
from gzfeatures.features.exchange.table_join import joined_rows, sliced
from gzfeatures.features.exchange.table_repair import repair_table
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.extraction.spec import Extraction

MATRIX = np.random.default_rng(1).normal(size=(20, 6)).astype(np.float32)


def whole() -> EmbeddingTable:
    return table_of(MATRIX)


def same(one: EmbeddingTable, other: EmbeddingTable) -> bool:
    return (
        one.ids.tolist() == other.ids.tolist()
        and one.digests.tolist() == other.digests.tolist()
        and np.array_equal(one.matrix, other.matrix)
        and one.extractor == other.extractor
    )


@pytest.mark.parametrize("ending", ["npz", "h5ad", "csv", "lance"])
def test_what_is_exported_comes_back_by_import_with_the_same_ids_and_vectors(
    ending: str, tmp_path: Path
) -> None:
    if ending == "lance" and importlib.util.find_spec("lance") is None:
        pytest.skip("pylance is not installed (85 MB)")
    path = export_table(whole(), tmp_path / f"v.{ending}")
    back = import_table(VectorSource(path))
    assert back.ids.tolist() == whole().ids.tolist() and np.array_equal(back.matrix, MATRIX)


def test_an_h5ad_has_what_anndata_reads(tmp_path: Path) -> None:
    export_table(whole(), tmp_path / "v.h5ad")
    if importlib.util.find_spec("anndata") is not None:
        import anndata

        data = anndata.read_h5ad(tmp_path / "v.h5ad")
        assert data.obs_names.tolist() == whole().ids.tolist()
        assert np.array_equal(data.X, MATRIX)
    with h5py.File(tmp_path / "v.h5ad") as file:
        assert file.attrs["encoding-type"] == "anndata"
        assert file["obs"].attrs["_index"] == "galaxy_id"
        assert list(file["obs"].attrs["column-order"]) == ["image_sha256"]
        assert {"X", "obs", "var", "uns", "obsm", "varm", "layers", "obsp", "varp"} == set(file)


def test_two_exports_of_one_table_are_equal_to_the_byte(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        export_table(whole(), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_vector_that_is_not_finite_is_refused_by_name_or_left_out_and_listed(
    tmp_path: Path,
) -> None:
    # hyrax writes NaN for an image with one bad pixel
    matrix = MATRIX.copy()
    matrix[3, 2] = np.nan
    np.savez(tmp_path / "v.npz", id=whole().ids.astype(str), v=matrix)
    with pytest.raises(InputError, match=r"1 of 20 vectors.*found g0003.*--on-bad skip"):
        import_table(VectorSource(tmp_path / "v.npz"))
    table = import_table(VectorSource(tmp_path / "v.npz", on_bad="skip"))
    assert len(table) == 19 and table.skipped == (("g0003", "vector is not finite"),)
    assert "g0003" not in table.ids


def test_imported_tables_of_one_encoder_go_together_and_others_do_not(tmp_path: Path) -> None:
    for name, part in (("a", slice(0, 9)), ("b", slice(9, 20))):
        np.savez(tmp_path / f"{name}.npz", id=whole().ids[part].astype(str), v=MATRIX[part])
    named = [
        import_table(VectorSource(tmp_path / f"{name}.npz", encoder="zoobot")) for name in "ab"
    ]
    assert len(joined_rows(named)) == 20
    unnamed = [import_table(VectorSource(tmp_path / f"{name}.npz")) for name in "ab"]
    with pytest.raises(InputError, match="different extractors"):
        joined_rows(unnamed)


def test_joined_tables_know_all_galaxies_that_any_of_them_knows_the_network_was_trained_on() -> (
    None
):
    def part(first: int, last: int, record: str | None) -> EmbeddingTable:
        table = whole().select(whole().ids[first:last])
        return replace(table, extractor=replace(table.extractor, trained_on=record))

    known = TrainedOn.of(["g0001", "g0006"]).encode()
    others = TrainedOn.of(["g0011"]).encode()
    unknown, one, two = part(0, 5, None), part(5, 10, known), part(10, 15, others)
    for tables in ([unknown, one, two], [two, one, unknown], [one, unknown, two]):
        assert sorted(joined_rows(tables).seen_ids) == ["g0001", "g0006", "g0011"]
    # a record is kept as it is; none stays none, because an empty record would mean no galaxies
    assert joined_rows([unknown, one]).extractor.trained_on == known
    assert joined_rows([unknown, part(5, 10, None)]).extractor.trained_on is None
    assert joined_rows([unknown, part(5, 10, "")]).extractor.trained_on == ""


def test_a_part_of_a_table_knows_why_its_galaxies_have_no_vector(tmp_path: Path) -> None:
    reasons = (("x", "image is truncated"), ("y", "blank"))
    path = replace(whole(), skipped=reasons).write(tmp_path / "t.parquet")
    part = sliced(path, np.array(["g0003", "x", "z"], dtype=object), "skip")
    assert part.ids.tolist() == ["g0003"] and part.skipped == (("x", "image is truncated"),)
    assert sliced(path, whole().ids[:2]).skipped == ()
    with pytest.raises(InputError, match="1 of 2 galaxies are not in the table"):
        sliced(path, np.array(["g0003", "x"], dtype=object))


def test_a_table_that_is_recognised_in_the_store_knows_the_training_galaxies(
    tmp_path: Path,
) -> None:
    store, table = Store(tmp_path / "store"), whole()
    store.vectors_of(table.extractor).add(list(table.digests), table.matrix)
    known = replace(table.extractor, trained_on=TrainedOn.of(["g0001"]).encode())
    store.vectors_of(known)
    lost_in_polars(table.write(tmp_path / "t.parquet"), tmp_path / "lost.parquet")
    repaired = repair_table(tmp_path / "lost.parquet", store).table
    assert repaired.extractor == known and repaired.seen_ids.tolist() == ["g0001"]


def test_joined_tables_keep_the_picture_hashes_that_any_of_them_has() -> None:
    hashes = np.random.default_rng(2).integers(1, 256, (20, 64), dtype=np.uint8)
    table = replace(whole(), pictures=hashes)
    with_hashes, without = table.select(table.ids[:9]), whole().select(whole().ids[7:])
    for tables in ([with_hashes, without], [without, with_hashes]):
        pictures = joined_rows(tables).select(table.ids).pictures
        assert pictures is not None
        assert np.array_equal(pictures[:9], hashes[:9]) and not pictures[9:].any()
    assert joined_rows([without, whole().select(whole().ids[:7])]).pictures is None
    # so a training galaxy is known by its picture, under another id and file
    known = TrainedOn.of(["x"], pictures=hashes[:1])
    joined = joined_rows([without, with_hashes])
    assert joined.ids[joined.among(known)].tolist() == ["g0000"]


def test_nothing_is_computed_for_imported_vectors(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", id=whole().ids.astype(str), v=MATRIX)
    table = import_table(VectorSource(tmp_path / "v.npz"))
    table.write(tmp_path / "t.parquet")
    extractor = EmbeddingTable.read(tmp_path / "t.parquet").extractor
    assert extractor == table.extractor and extractor.is_imported
    with pytest.raises(InputError, match=r"another program made.*table import"):
        Extraction.repeating(extractor, store=Store(tmp_path / "store"))


def test_images_give_imported_vectors_the_digests_that_extraction_gives(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in whole().ids[:4]:
        noise = np.random.default_rng(int(name[1:])).integers(0, 255, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "images" / f"{name}.png")
    np.savez(tmp_path / "v.npz", id=whole().ids[:4][::-1].astype(str), v=MATRIX[:4])
    images = ImageSet.of(tmp_path / "images")
    table = import_table(VectorSource(tmp_path / "v.npz"), images)
    assert table.digests.tolist() == images.select(table.ids).digests()
    assert table.pictures is not None and table.pictures.shape == (4, 64)
    np.savez(tmp_path / "v.npz", id=whole().ids[:5].astype(str), v=MATRIX[:5])
    with pytest.raises(InputError, match="1 of 5 galaxies have no image, found g0004"):
        import_table(VectorSource(tmp_path / "v.npz"), images)


def lost_in_pandas(source: Path, target: Path) -> None:
    pd.read_parquet(source).assign(note="x").to_parquet(target)


def lost_in_polars(source: Path, target: Path) -> None:
    pl.read_parquet(source).sort("galaxy_id", descending=True).write_parquet(target)


def lost_in_duckdb(source: Path, target: Path) -> None:
    duckdb.sql(f"copy (select * from '{source}' where galaxy_id > 'g0004') to '{target}'")


@pytest.mark.parametrize("lose", [lost_in_pandas, lost_in_polars, lost_in_duckdb])
def test_a_table_that_lost_its_metadata_is_recognised_by_its_vectors(
    lose: object, tmp_path: Path
) -> None:
    source, lost = whole().write(tmp_path / "t.parquet"), tmp_path / "lost.parquet"
    lose(source, lost)  # type: ignore[operator]
    if b"gzfeatures" not in (pq.read_schema(lost).metadata or {}):
        with pytest.raises(InputError, match="not an embedding table"):
            EmbeddingTable.read(lost)
    store = Store(tmp_path / "store")
    with pytest.raises(InputError, match="no extractor of the store has these vectors"):
        repair_table(lost, store)
    by_table = repair_table(lost, source).table
    store.vectors_of(whole().extractor).add(whole().digests.tolist(), MATRIX)
    by_store = repair_table(lost, store).table
    assert same(by_table, by_store) and same(by_table, whole().select(by_table.ids))
    by_table.write(tmp_path / "again.parquet")
    assert same(EmbeddingTable.read(tmp_path / "again.parquet"), by_table)


def test_vectors_that_were_changed_are_not_repaired(tmp_path: Path) -> None:
    source, lost = whole().write(tmp_path / "t.parquet"), tmp_path / "lost.parquet"
    frame = pd.read_parquet(source)
    frame["embedding"] = [row / 2 for row in frame["embedding"]]
    frame.to_parquet(lost)
    with pytest.raises(InputError, match=r"not of the same extractor.*found 0 of 20 equal"):
        repair_table(lost, source)
    table_of(MATRIX, ids=[f"h{k}" for k in range(20)]).write(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="share no galaxy"):
        repair_table(lost, tmp_path / "other.parquet")


def test_a_slice_has_the_galaxies_asked_for_and_names_those_that_lack(tmp_path: Path) -> None:
    path = whole().write(tmp_path / "t.parquet")
    wanted = np.array(["g0007", "g0002", "other"], dtype=object)
    with pytest.raises(InputError, match="1 of 3 galaxies are not in the table, found other"):
        sliced(path, wanted)
    part = sliced(path, wanted, "skip")
    assert part.ids.tolist() == ["g0002", "g0007"]
    assert np.array_equal(part.matrix, MATRIX[[2, 7]])


def test_joined_tables_hold_each_galaxy_once_and_two_vectors_of_one_are_refused() -> None:
    one, other = whole().select(whole().ids[:12]), whole().select(whole().ids[8:])
    assert same(joined_rows([one, other]), whole())
    changed = table_of(MATRIX + 1, ids=whole().ids.tolist())
    with pytest.raises(InputError, match="20 galaxies have two vectors"):
        joined_rows([whole(), changed])


def test_the_verb_tells_rows_and_origin(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", id=whole().ids.astype(str), v=MATRIX)
    source, path = tmp_path / "v.npz", tmp_path / "t.parquet"
    made = gz("table", "import", source, "-o", path, "--encoder", "zoobot")
    assert (made["rows"], made["dim"]) == (20, 6)
    told = gz("table", "info", path)
    assert (told["rows"], told["dim"], told["origin"]) == (20, 6, "imported:zoobot")
    assert told["image_digests"] == 0 and told["trained_on"] is None
    assert gz("table", "export", path, "-o", tmp_path / "v.csv")["rows"] == 20
    whole_path = whole().write(tmp_path / "whole.parquet")
    half = whole().select(whole().ids[:9]).write(tmp_path / "half.parquet")
    joined = gz("table", "join", half, whole_path, "-o", tmp_path / "joined.parquet")
    assert joined["rows"] == 20
    (tmp_path / "ids.txt").write_text("g0001\ng0003\n")
    part = tmp_path / "part.parquet"
    assert gz("table", "slice", path, "--ids", tmp_path / "ids.txt", "-o", part)["rows"] == 2
    lost_in_pandas(whole_path, tmp_path / "lost.parquet")
    words = ["table", "repair", tmp_path / "lost.parquet", "--like", half]
    assert gz(*words, "-o", tmp_path / "repaired.parquet")["rows"] == 20
    refused = called("table", "join", half, "-o", tmp_path / "x.parquet")
    assert refused.returncode == 1 and refused.stderr.startswith("error: tables to join")
