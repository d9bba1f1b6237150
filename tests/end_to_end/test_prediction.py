"""Heads by name, images in place of tables: what somebody does who has images and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner
from verbs import gz as verb

import gzfeatures as gz
from gzfeatures.cli.console import app
from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.experiment.prediction import find_head, packaged_heads, require_framing, vectors_of
from gzfeatures.galaxies.splits.split import digest_remainders
from gzfeatures.heads.head import Head
from gzfeatures.images.view import View

FIVE = ("smooth-round", "smooth-inbetween", "smooth-cigar", "edge-on", "spiral")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blank frames, noise, and a blurred blob on a dark sky."""
    folder, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(5)
    y, x = np.mgrid[:424, :424] - 211.5
    blob = 200 * np.exp(-np.hypot(x, y / 0.7) / 25)[..., None] * [1, 0.9, 0.8]
    frames = {
        "black": np.zeros((424, 424, 3)),
        "grey": np.full((424, 424, 3), 128.0),
        "noise": draw.normal(128, 60, (424, 424, 3)),
        "blob": blob + draw.normal(12, 4, (424, 424, 3)),
    }
    for name, frame in frames.items():
        Image.fromarray(np.clip(frame, 0, 255).astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def test_packaged_heads_are_small_and_promise_by_galaxies_nothing_was_trained_on() -> None:
    heads = packaged_heads("googlenet-gz2")
    assert list(heads) == ["zhu-5class", "votes-37"] and packaged_heads("resnet50") == {}
    folder = next(iter(heads.values())).parent
    assert sum(path.stat().st_size for path in folder.glob("*.skops")) < 5e6
    classes, votes = (Head.read(path) for path in heads.values())
    assert classes.classes == (*FIVE, "none-of-these") and len(votes.classes) == 37
    for head in (classes, votes):
        assert head.extractors[0].backbone == "googlenet-gz2" and head.familiarity is not None
        assert len(head.familiarity.distances) > 900 and head.familiarity.why_none_flagged is None
    assert classes.sets is not None and classes.sets.per_class and not classes.sets.notes


def test_a_table_of_single_vectors_and_one_of_means_each_have_a_head_of_the_package(
    pictures: Path, tmp_path: Path
) -> None:
    """Images are seen in 8 symmetries; a table that was extracted without them is not refused."""
    mean = find_head("googlenet-gz2")
    assert mean.extractors[0].dihedral
    for words in ((), ("--dihedral",)):
        table = tmp_path / f"{len(words)}.parquet"
        verb("extract", pictures, *words, "--precision", "bfloat16", "-o", table)
        extractor = gz.EmbeddingTable.open(table).extractor
        head = find_head("googlenet-gz2", extractor=extractor)
        assert head.extractors[0].dihedral == bool(words) and head.classes == mean.classes
        assert head.sets is not None and head.familiarity is not None and head.shares is not None
        said = verb("predict", "googlenet-gz2", table, "-o", tmp_path / "c.csv")
        assert said["rows"] == 4 and said["unfamiliar"] >= 3
    # vectors of a third kind are refused by the head that says what it reads
    other = dataclasses.replace(extractor, layer="inception5b")
    assert find_head("googlenet-gz2", extractor=other).extractors[0].dihedral


def test_images_and_nothing_else_give_classes_and_nonsense_is_flagged(
    pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "classes.csv"
    said = verb("predict", "googlenet-gz2", pictures, "-o", out)
    frame = pd.read_csv(out, keep_default_na=False).set_index("galaxy_id")
    assert said["rows"] == 4 and sum(said["classes"].values()) == 4 and said["unfamiliar"] >= 3
    assert np.allclose(frame[[*FIVE, "none-of-these"]].sum(axis=1), 1)
    strange = frame.loc[["black", "grey", "noise"]]
    assert (strange.familiarity_p < 0.01).all() and (strange.class_set == "").all()
    assert (strange.empty_because == "unfamiliar").all()
    assert said["nothing_shown"] == [
        {"id": "black", "reason": "image is blank: every pixel is [0, 0, 0]"},
        {"id": "grey", "reason": "image is blank: every pixel is [128, 128, 128]"},
    ]
    assert said["skipped"] == []


def test_images_that_show_nothing_are_named_by_extract_and_an_unreadable_one_by_predict(
    pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "blob.png").write_bytes((pictures / "blob.png").read_bytes())
    Image.new("RGB", (100, 100), (255, 255, 255)).save(folder / "white.png")
    Image.new("RGB", (100, 100), (20, 80, 200)).save(folder / "blue.png")
    said = verb("extract", folder, "-o", tmp_path / "t.parquet")
    assert said["rows"] == 3
    reasons = {row["id"]: row["reason"] for row in said["nothing_shown"]}
    assert reasons == {
        "blue": "image is of a single colour: every pixel is [20, 80, 200]",
        "white": "image is saturated: every pixel is [255, 255, 255]",
    }
    assert (
        verb("extract", folder, "-o", tmp_path / "t.parquet")["nothing_shown"]
        == said["nothing_shown"]
    )  # stored
    (folder / "broken.png").write_bytes(b"nothing")
    out = tmp_path / "c.csv"
    told = verb("predict", "googlenet-gz2", folder, "--on-bad", "skip", "-o", out)
    assert [row["id"] for row in told["skipped"]] == ["broken"] and told["skipped"][0]["reason"]
    assert {row["id"] for row in told["nothing_shown"]} == {"blue", "white"} and told["rows"] == 3


def test_the_vote_fractions_have_a_head_too_and_another_framing_changes_the_crop_alone(
    pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "votes.parquet"
    verb(
        "predict",
        "googlenet-gz2",
        pictures,
        "--scheme",
        "votes-37",
        "--view",
        "crop=0.8",
        "-o",
        out,
    )
    assert {"galaxy_id", "familiarity_p", "smooth"} < set(pd.read_parquet(out).columns)
    with pytest.raises(InputError, match="differ in crop alone"):
        verb("predict", "googlenet-gz2", pictures, "--view", "size=64", "-o", tmp_path / "x.csv")


@pytest.mark.parametrize("option", [("--scheme", "votes-37"), ("--view", "crop=0.8")])
def test_options_of_a_head_are_not_ignored_for_a_checkpoint(
    option: tuple[str, str], tmp_path: Path
) -> None:
    words = ["predict", tmp_path, tmp_path, *option, "-o", tmp_path.parent / "x.csv"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 2 and option[0] in result.output


def test_unknown_heads_and_schemes_are_named() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown head; must be one of googlenet-gz2, a file written by"
    ):
        find_head("no-such-head")
    with pytest.raises(
        UnknownNameError,
        match="unknown scheme of googlenet-gz2; must be one of zhu-5class, votes-37",
    ):
        find_head("googlenet-gz2", "zhu-6class")
    with pytest.raises(InputError, match="be left out: the file is one head"):
        find_head(packaged_heads("googlenet-gz2")["votes-37"], "votes-37")


def test_a_head_on_catalog_columns_or_on_other_weights_is_not_given_images(pictures: Path) -> None:
    head, images = find_head("googlenet-gz2"), gz.ImageSet.of(pictures)
    with pytest.raises(InputError, match="reads more than the vectors of one backbone"):
        vectors_of(images, dataclasses.replace(head, columns=("redshift",)), gz.Store.default())
    other = dataclasses.replace(head.extractors[0], weights="0" * 64)
    with pytest.raises(InputError, match="other weights than the head was fitted on"):
        vectors_of(images, dataclasses.replace(head, extractors=(other,)), gz.Store.default())
    require_framing(head.extractors[0], dataclasses.replace(head.extractors[0].view, crop=0.7))
    with pytest.raises(InputError, match="differ in crop alone"):
        require_framing(head.extractors[0], View(size=64))


def test_a_head_on_random_weights_is_given_vectors_of_the_same_random_weights(
    pictures: Path,
) -> None:
    images, store = gz.ImageSet.of(pictures), gz.Store.default()
    table = gz.extract(images, "resnet18", weights="none", view=View(size=32))
    head = dataclasses.replace(find_head("googlenet-gz2"), extractors=(table.extractor,))
    assert (vectors_of(images, head, store).matrix == table.matrix).all()


def test_vectors_of_another_crop_are_refused_unless_they_are_asked_for(pictures: Path) -> None:
    head = find_head("googlenet-gz2")
    wide = dataclasses.replace(head.extractors[0].view, crop=0.8)
    table = vectors_of(gz.ImageSet.of(pictures), head, gz.Store.default(), view=wide)
    with pytest.raises(InputError, match="table comes from another extractor"):
        head.predict(table)
    assert len(head.predict(table, any_crop=True)) == 4


@pytest.mark.data
def test_on_galaxies_that_nothing_was_trained_on_the_packaged_head_keeps_its_promises(
    shared_data: Path,
) -> None:
    galaxies_folder = shared_data / "gz2"
    images = galaxies_folder / "images"
    names = np.array(sorted(path.stem for path in images.glob("*.jpg")), dtype=object)
    own = names[digest_remainders(names, 10) == 3][:120]
    head = find_head("googlenet-gz2")
    said = head.predict(vectors_of(gz.ImageSet.of(images, ids=own), head, gz.Store.default()))
    classes = (
        pd.read_csv(galaxies_folder / "classes.csv", dtype=str)
        .set_index("GalaxyID")
        .class5.reindex(own)
    )
    known = classes.notna().to_numpy()
    assert said.seen is not None and not said.seen.any()
    five = said.probabilities[:, :5].argmax(1)
    assert (np.array(FIVE)[five[known]] == classes[known]).mean() > 0.83
    assert said.sets is not None and said.familiarity is not None
    inside = [
        row[FIVE.index(name)] for row, name in zip(said.sets[known], classes[known], strict=True)
    ]
    assert np.mean(inside) > 0.82 and (said.familiarity < 0.01).mean() < 0.05
