"""Promise: a galaxy that a network was trained on is known again by its picture, under any id;
another is not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter
from tables_of import table_of

import gzfeatures as gz
from gzfeatures.errors import InputError, LeakError
from gzfeatures.experiment.candidates import fit_heads
from gzfeatures.experiment.settings.approaches import HeadChoice
from gzfeatures.features.backbones import backbone
from gzfeatures.features.hash_index import HashIndex
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.table_writer import PICTURES
from gzfeatures.features.trained_on import TrainedOn, picture_groups
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.picture_hash import picture_hash

N = 60


def frame(seed: int) -> Image.Image:
    """A picture of 424 pixels: a galaxy of random shape among stars, under noise that the telescope
    has blurred."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:424, :424] - 211.5
    angle, ratio = random.uniform(0, np.pi), random.uniform(0.3, 1)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    light = 180 * np.exp(-np.hypot(along, across / ratio) / random.uniform(12, 40))
    for _ in range(random.integers(2, 9)):
        at = random.uniform(-200, 200, 2)
        light += random.uniform(30, 200) * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 18)
    noisy = light[..., None] + random.normal(18, 25, (424, 424, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(1.2)
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Galaxies t0 … in `trained`, others o0 … in `others`, and the first again, made smaller and
    worse, in `again`."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("trained", "others", "again", "small", "middles"):
        (folder / name).mkdir()
    for number in range(N):
        image = frame(number)
        image.save(folder / "trained" / f"t{number}.jpg", quality=95)
        frame(1000 + number).save(folder / "others" / f"o{number}.jpg", quality=95)
        image.save(folder / "again" / f"a{number}.jpg", quality=60)
        image.resize((128, 128), Image.Resampling.BILINEAR).save(
            folder / "small" / f"s{number}.jpg", quality=90
        )
        middle = image.crop((92, 92, 332, 332)).resize((128, 128), Image.Resampling.LANCZOS)
        middle.save(folder / "middles" / f"m{number}.jpg", quality=75)
    return folder


@pytest.fixture(scope="module")
def record(pictures: Path) -> TrainedOn:
    known = TrainedOn.of_images(ImageSet.of(pictures / "trained").of_kind("kaggle"))
    return TrainedOn.decode(known.encode())


@pytest.mark.parametrize("change", ["again", "small", "middles"])
def test_compressed_resized_and_cut_out_pictures_are_known_again(
    pictures: Path, record: TrainedOn, change: str
) -> None:
    assert record.among_images(ImageSet.of(pictures / change)).mean() > 0.95


def test_a_picture_whose_file_says_what_share_of_a_frame_it_holds_is_known_again(
    pictures: Path, record: TrainedOn
) -> None:
    assert record.among_images(ImageSet.of(pictures / "middles", field=240 / 424)).all()


def test_another_galaxy_of_the_same_number_is_not_marked(
    pictures: Path, record: TrainedOn, tmp_path: Path
) -> None:
    assert not record.among_images(ImageSet.of(pictures / "others")).any()
    for number in range(N):
        (tmp_path / f"t{number}.jpg").write_bytes(
            (pictures / "others" / f"o{number}.jpg").read_bytes()
        )
    same_numbers = ImageSet.of(tmp_path)
    assert not record.among_images(same_numbers).any()
    assert not record.among_images(same_numbers.of_kind("hart16")).any()
    assert record.among_images(
        same_numbers.of_kind("kaggle")
    ).all()  # there the number is the galaxy


def test_ids_decide_only_where_no_picture_can_and_no_kind_forbids() -> None:
    record = TrainedOn.of(["1", "2"], kind="kaggle", pictures=np.ones((2, 64), dtype=np.uint8))
    assert record.contains(["1", "3"]).tolist() == [True, False]
    assert not record.contains(["1"], kind="hart16").any()
    blank = np.zeros((1, 64), dtype=np.uint8)
    assert (
        record.contains(["1"], pictures=blank).all()
        and not record.contains(["1"], pictures=~blank).any()
    )
    bare = TrainedOn.of(["1"])  # as older checkpoints have it
    assert (
        bare.contains(["1"], pictures=~blank).all()
        and bare.contains(["1"], kind="kaggle", pictures=~blank).all()
    )


def test_the_file_itself_is_known_whatever_it_is_called() -> None:
    files = [f"{number:064x}" for number in range(2**250, 2**250 + 2)]
    record = TrainedOn.decode(TrainedOn.of(["a", "b"], files=[*files[:1], "", "0" * 64]).encode())
    assert len(record.files) == 1
    assert record.contains(["x", "y", "z"], files=[files[0], "0" * 64, ""]).tolist() == [
        True,
        False,
        False,
    ]


def test_sets_of_several_kinds_are_united(record: TrainedOn) -> None:
    both = TrainedOn.decode((record | TrainedOn.of(["mine"])).encode())
    assert len(both) == N + 1 and len(both.pictures) == len(record.pictures)
    assert both.contains(["mine", "t0"]).all() and both.contains(["t0"], kind="kaggle").all()
    assert both.fingerprint != record.fingerprint


def test_hashes_travel_with_the_table_and_are_made_of_a_store_that_lacks_them(
    pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    from gzfeatures.networks.extraction.fill import PICTURE_HASH

    store, images = gz.Store(tmp_path / "store"), ImageSet.of(pictures / "again").of_kind("kaggle")
    how = {"weights": "none", "view": gz.View(size=32), "store": store, "progress": False}
    table = gz.extract(images, "resnet18", **how)
    np.testing.assert_array_equal(table.pictures, images.picture_hashes())
    assert table.kind == "kaggle" and table.pictures is not None and table.pictures.any(1).all()
    read = EmbeddingTable.read(table.write(tmp_path / "table.parquet"))
    np.testing.assert_array_equal(read.pictures, table.pictures)
    assert read.kind == "kaggle"
    (batch,) = EmbeddingTable.open(tmp_path / "table.parquet").batches()
    np.testing.assert_array_equal(batch.pictures, table.pictures)
    some = table.ids[::7]
    np.testing.assert_array_equal(read.select(some).pictures, table.pictures[::7])
    np.testing.assert_array_equal(
        EmbeddingTable.open(tmp_path / "table.parquet").having(some).pictures[0], table.pictures[0]
    )
    for shard in (tmp_path / "store" / PICTURE_HASH.fingerprint).iterdir():
        shard.unlink()
    again = gz.extract(images, "resnet18", **how)
    assert again.made.computed == 0
    np.testing.assert_array_equal(again.pictures, table.pictures)


def test_a_table_without_hashes_is_read_as_before(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    table = table_of(np.zeros((3, 2)))
    path = table.write(tmp_path / "old.parquet")
    assert PICTURES not in pq.read_schema(path).names
    assert EmbeddingTable.read(path).pictures is None


def vectors(pictures: Path, record: TrainedOn) -> tuple[EmbeddingTable, Labels]:
    """A table of 60 training pictures under other ids and 60 others, and labels."""
    images = ImageSet.of(pictures / "again").joined(ImageSet.of(pictures / "others"))
    random = np.random.default_rng(0)
    plain = table_of(random.normal(size=(2 * N, 4)), images.digests(), list(images.ids))
    extractor = dataclasses.replace(plain.extractor, trained_on=record.encode())
    table = dataclasses.replace(plain, extractor=extractor, pictures=images.picture_hashes())
    return table, Labels(table.ids, ("x", "y"), np.arange(2 * N) % 2)


def test_what_a_backbone_saw_under_another_id_only_trains(
    pictures: Path, record: TrainedOn, tmp_path: Path
) -> None:
    table, labels = vectors(pictures, record)
    assert set(table.seen_ids) == {name for name in table.ids if name.startswith("a")}
    split = Split.draw(labels, only_train=table.seen_ids)
    assert not {name for name in split.test if name.startswith("a")}
    predicted = gz.fit(table, labels, "prototype", split=split).predict(table)
    assert (
        predicted.seen is not None
        and predicted.seen[[name.startswith("a") for name in table.ids]].all()
    )
    leaky = Split.draw(labels)
    with pytest.raises(LeakError, match="backbone was trained on"):
        fit_heads([table], labels, leaky, [HeadChoice(name="prototype")], seed=0, folder=tmp_path)


def test_a_head_knows_the_files_it_was_trained_on_in_another_table(
    pictures: Path, record: TrainedOn
) -> None:
    table, labels = vectors(pictures, TrainedOn.of([]))
    split = Split.draw(labels)
    head = gz.fit(table, labels, "prototype", split=split)
    fresh = dataclasses.replace(
        table, ids=np.array([f"new{row}" for row in range(len(table))], dtype=object)
    )
    seen = head.predict(fresh).seen
    assert seen is not None and seen.tolist() == [name in set(split.train) for name in table.ids]


def test_every_hash_within_the_distance_is_found_and_no_other() -> None:
    random = np.random.default_rng(0)
    stored = random.integers(0, 2**63, (500, 4)).astype(np.uint64)
    stored[:, 0] &= np.uint64(0xFFFF)  # crowded buckets
    flips = random.integers(0, 40, 300)
    asked = np.unpackbits(stored[random.integers(0, 500, 300)].view(np.uint8), axis=1)
    for row, number in enumerate(flips):
        asked[row, random.permutation(256)[:number]] ^= 1
    asked = np.packbits(asked, axis=1).view(np.uint64)
    distance = np.bitwise_count(asked[:, None] ^ stored[None]).sum(2).min(1)
    for limit in (0, 15, 26, 31):
        assert HashIndex(stored).near(asked, limit).tolist() == (distance <= limit).tolist()
    assert not HashIndex(stored[:0]).near(asked, 28).any()
    with pytest.raises(InputError, match=r"distance of hashes; must lie in 0…31, found 32"):
        HashIndex(stored).near(asked, 32)


def test_a_flat_picture_and_a_tiny_one_have_no_hash() -> None:
    assert picture_hash(np.full((424, 424, 3), 7, dtype=np.uint8)) == bytes(64)
    assert picture_hash(
        np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    ) == bytes(64)


def test_a_record_of_another_version_is_refused() -> None:
    with pytest.raises(InputError, match="record of training galaxies is not that of this version"):
        TrainedOn.decode("package:googlenet-gz2:" + "0" * 64)
    with pytest.raises(InputError, match="record of training galaxies"):
        TrainedOn.decode("package:../../secret:" + "0" * 64)


@pytest.mark.data
def test_of_real_pictures_that_two_catalogs_share_the_trained_ones_are_marked(
    shared_data: Path,
) -> None:
    """151 Hart+2016 pictures are Kaggle's too; the backbone was trained on 94 of them, and on no
    other of the 1,000."""
    record = TrainedOn.decode(backbone("googlenet-gz2").trained_on or "")
    images = ImageSet.of(shared_data / "hart16" / "images")
    table = pd.read_csv(shared_data / "hart16" / "hart16_1000.csv", dtype=str).set_index("asset_id")
    twins = table.loc[list(images.ids), "kaggle_GalaxyID_same_file"]
    names = np.array(
        ["" if pd.isna(twin) else str(int(float(twin))) for twin in twins], dtype=object
    )
    trained = record.contains(names, kind="kaggle")
    assert (names != "").sum() == 151 and trained.sum() == 94
    assert record.among_images(images).tolist() == trained.tolist()


@pytest.mark.data
def test_of_kaggles_pictures_those_trained_on_are_marked_under_any_id(
    shared_data: Path, tmp_path: Path
) -> None:
    record = TrainedOn.decode(backbone("googlenet-gz2").trained_on or "")
    images = ImageSet.of(shared_data / "gz2" / "images")
    images = images.select(np.random.default_rng(0).permutation(images.ids)[:400])
    trained = record.contains(images.ids, kind="kaggle")
    for number, name in enumerate(images.ids):
        small = Image.open(shared_data / "gz2" / "images" / f"{name}.jpg").resize(
            (128, 128), Image.Resampling.LANCZOS
        )
        small.save(tmp_path / f"x{number:03}.jpg", quality=60)
    met = record.among_images(ImageSet.of(tmp_path))
    assert met[trained].mean() >= 0.99 and met[~trained].mean() <= 0.001


def pictured(folder: Path, kind: str = "") -> EmbeddingTable:
    """Vectors of the pictures in a folder; classes show in the first number."""
    return tabled(ImageSet.of(folder), kind)


def tabled(images: ImageSet, kind: str = "") -> EmbeddingTable:
    vectors = np.random.default_rng(0).normal(size=(len(images), 4)).astype(np.float32)
    vectors[:, 0] += np.arange(len(images)) % 2 * 4
    table = table_of(vectors, images.digests(), images.ids)
    return dataclasses.replace(table, pictures=images.picture_hashes(), kind=kind)


def test_a_head_of_ones_own_knows_its_galaxies_by_their_pictures(pictures: Path) -> None:
    table = pictured(pictures / "trained", "kaggle")
    labels = Labels(table.ids, ("smooth", "disk"), np.arange(N) % 2)
    head = gz.fit(
        table, labels, "logistic", split=Split(table.ids[:50], table.ids[:0], table.ids[50:])
    )
    again = pictured(pictures / "again", "hart16")
    known = head.predict(again).seen
    assert known is not None
    trained = {f"a{name[1:]}" for name in table.ids[:50]}
    found = {name for name, mark in zip(again.ids, known, strict=True) if mark}
    assert found <= trained and len(found) >= 48
    assert not head.predict(pictured(pictures / "others", "hart16")).seen.any()


def test_look_alikes_on_two_sides_of_a_split_are_known_by_file_alone(pictures: Path) -> None:
    both = ImageSet.of(pictures / "trained").joined(ImageSet.of(pictures / "again"))
    table = tabled(both)
    train, test = both.ids[:N], both.ids[N : N + 10]
    labels = Labels(both.ids, ("smooth", "disk"), np.arange(2 * N) % 2)
    head = gz.fit(table, labels, "logistic", split=Split(train, both.ids[:0], test))
    known = head.predict(table).seen
    assert known is not None and known[:N].all() and not known[N : N + 10].any()
    assert (
        known[N + 10 :].mean() > 0.95
    )  # on no side: look-alikes of training galaxies that the test does not have
    record = TrainedOn.of_images(both.select(train), others=both.select(test))
    assert not record.among_images(both.select(test)).any() and len(record.pictures) < N


def test_a_network_of_ones_own_records_pictures(pictures: Path, tmp_path: Path) -> None:
    from gzfeatures.networks.inference.probabilities import classify
    from gzfeatures.networks.training.train import train

    images = ImageSet.of(pictures / "trained").of_kind("kaggle")
    labels = Labels(images.ids, ("smooth", "disk"), np.arange(N) % 2)
    split = Split(images.ids[:40], images.ids[40:50], images.ids[50:])
    train(
        images, labels, split, "shufflenet-v2-x0-5", folder=tmp_path / "net", epochs=1,
        batch_size=20, progress=False,
        view=gz.View(size=32), precision="float32",
    )  # fmt: skip
    again = ImageSet.of(pictures / "again")
    seen = classify(again, tmp_path / "net", progress=False).seen
    trained = {f"a{name[1:]}" for name in split.train}
    found = {name for name, mark in zip(again.ids, seen, strict=True) if mark}
    assert found <= trained and len(found) >= 38


def test_near_duplicates_are_grouped_by_picture_and_all_pairs_are_found(pictures: Path) -> None:
    both = ImageSet.of(pictures / "trained").joined(ImageSet.of(pictures / "again"))
    groups = picture_groups(both.ids, both.picture_hashes())
    together = sum(
        f"t{number}" in groups and groups[f"t{number}"] == groups.get(f"a{number}")
        for number in range(N)
    )
    assert together >= 0.95 * N and len(set(groups.values())) == together
    words = np.ascontiguousarray(both.picture_hashes()[:, :32]).view(np.uint64)
    words[5] = words[3] ^ np.uint64(0b101)
    apart = np.bitwise_count(words[:, None] ^ words[None]).sum(2, dtype=np.int64)
    left, right = HashIndex(words).pairs(26)
    expected = np.argwhere(np.triu(apart <= 26, 1))
    assert np.array_equal(np.column_stack([left, right]), expected)
