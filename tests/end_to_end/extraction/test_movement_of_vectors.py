"""How far vectors move by a change of the images: nothing for what an encoder cannot see, and a
refusal where another encoder, or other images, made the table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from blobs import draw

import gzfeatures as gz
from gzfeatures.audit.movement import CHANGES, UNCHANGED, Rerun, movements
from gzfeatures.errors import InputError
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.images.image_set import ImageSet


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return ImageSet.of(draw(tmp_path_factory.mktemp("pictures"), 24))


@pytest.fixture(scope="module")
def rerun(tmp_path_factory: pytest.TempPathFactory) -> Rerun:
    return Rerun(store=Store.at(tmp_path_factory.mktemp("store")), sample=6)


@pytest.fixture(scope="module")
def table(images: ImageSet, rerun: Rerun) -> EmbeddingTable:
    # a mean over mirror images and quarter turns cannot tell them apart; 24 px: no resampling
    return gz.extract(
        images,
        "resnet18",
        weights="none",
        view="size=24",
        precision="float32",
        dihedral=True,
        store=rerun.store,
        device="cpu",
    )


def test_an_encoder_that_sees_no_turn_does_not_move_by_one_and_moves_by_a_shift(
    table: EmbeddingTable, images: ImageSet, rerun: Rerun
) -> None:
    moved = {row.change: row for row in movements(table, images, rerun)}
    assert list(moved) == list(CHANGES) and {row.galaxies for row in moved.values()} == {6}
    for still in (UNCHANGED, "turned by 90°", "mirrored"):
        assert moved[still].ninth < 0.02 and moved[still].farther == 0
    assert moved["shifted by 2 %"].median > 0.1 and moved["dimmed by 30 %"].median > 0.1


def test_other_images_than_those_of_the_table_are_refused(
    table: EmbeddingTable, images: ImageSet, rerun: Rerun
) -> None:
    turned = dataclasses.replace(images, places=images.places[1:] + images.places[:1])
    with pytest.raises(InputError, match=r"give other vectors than the table's"):
        movements(table, turned, rerun)
    strangers = table.ids + "x"
    with pytest.raises(InputError, match="be two or more, found 0"):
        movements(dataclasses.replace(table, ids=strangers), images, rerun)


def test_an_encoder_with_other_weights_is_refused(
    table: EmbeddingTable, images: ImageSet, rerun: Rerun
) -> None:
    other = dataclasses.replace(table.extractor, mean=(0.1, 0.1, 0.1))
    with pytest.raises(InputError, match="is not the one that made the table"):
        movements(dataclasses.replace(table, extractor=other), images, rerun)


def test_bands_are_no_pictures_and_are_said(
    tmp_path: Path, table: EmbeddingTable, rerun: Rerun
) -> None:
    for name in table.ids:
        np.save(tmp_path / f"{name}.npy", np.ones((3, 16, 16), dtype=np.float32))
    with pytest.raises(InputError, match="be pictures, found bands, or broken images"):
        movements(table, ImageSet.of(tmp_path), rerun)
