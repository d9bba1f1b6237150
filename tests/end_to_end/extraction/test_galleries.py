"""Explanation: galleries of a network and of a head on it, from a checkpoint on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gzfeatures.errors import InputError, MissingFileError
from gzfeatures.features.backbones import Backbone, classes_of
from gzfeatures.figures.gallery import Gallery
from gzfeatures.ids import Ids
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.spec import extractor_of
from gzfeatures.networks.models.load import build
from gzfeatures.networks.saliency.attribution import METHODS
from gzfeatures.networks.saliency.explained_model import ExplainedModel
from gzfeatures.networks.saliency.galleries import (
    SIDE,
    attributions,
    layers,
    maximal_images,
    overlaid,
)
from gzfeatures.networks.training.checkpoint import write_folder

IDS = np.asarray(["red", "green", "<b>"], dtype=object)
SPEC = Backbone("tiny", "resnet18", None, "flatten", 512, View(size=64), classes=2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    return write_folder(folder, SPEC, build(SPEC), {"classes": ["round", "<i>spiral</i>"]})


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in IDS:
        pixels = rng.integers(0, 40, (64, 64, 3), dtype=np.uint8)
        pixels[20:44, 20:44, int(name == "green")] = 250
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return ImageSet.of(folder)


def some(*names: str) -> Ids:
    return np.asarray(names, dtype=object)


def test_a_network_is_explained_under_the_classes_it_gives(
    checkpoint: Path, images: ImageSet
) -> None:
    judge = ExplainedModel.of_network(checkpoint)
    assert judge.classes == classes_of(checkpoint) == ("round", "<i>spiral</i>")
    found = attributions(judge, images, IDS).pictures()
    likeliest = judge.outputs(judge.images(judge.pixels(images, IDS))).argmax(1)
    placed = {tile.name: name for name, shown in found.items() for tile in shown}
    assert placed == {name: judge.classes[code] for name, code in zip(IDS, likeliest, strict=True)}
    tile = next(iter(found.values()))[0]
    assert tile.picture is not None and tile.picture.size == (
        (SIDE + 2) * (1 + len(METHODS)) - 2,
        SIDE,
    )


def test_all_galaxies_can_be_asked_about_one_class(checkpoint: Path, images: ImageSet) -> None:
    found = attributions(
        ExplainedModel.of_network(checkpoint), images, IDS, target="round", methods=["grad-cam"]
    ).pictures()
    assert [tile.name for tile in found["round"]] == list(IDS) and len(found) == 1
    with pytest.raises(
        InputError, match="class to explain; must be one of round, <i>spiral</i>, found oval"
    ):
        attributions(ExplainedModel.of_network(checkpoint), images, IDS, target="oval")
    with pytest.raises(InputError, match="images: 1 of 1 ids are not there"):
        attributions(ExplainedModel.of_network(checkpoint), images, some("nobody"))


def test_a_head_is_explained_with_its_own_classes_and_probabilities(
    checkpoint: Path, images: ImageSet
) -> None:
    def head(vectors: np.ndarray) -> np.ndarray:
        p = 1 / (1 + np.exp(-vectors[:, :1].astype(np.float64)))
        return np.hstack([p, 1 - p])

    judge = ExplainedModel.of_head(checkpoint, head, ("first", "second"), extractor_of(checkpoint))
    given = judge.images(judge.pixels(images, IDS))
    with torch.no_grad():
        first = judge.plain.avgpool(nn.Sequential(*list(judge.plain.children())[:-2])(given))[
            :, 0, 0, 0
        ].double()
    np.testing.assert_allclose(judge.outputs(given)[:, 0], torch.sigmoid(first).numpy(), rtol=1e-5)
    found = attributions(judge, images, some("red"), methods=["occlusion"]).pictures()
    (name,) = found
    assert found[name][0].caption == f"{name} {judge.outputs(given[:1]).max():.2f}"
    with pytest.raises(
        InputError, match="must be of a network that ends in classes; leave the head out"
    ):
        maximal_images(judge)


def test_a_predicted_number_has_no_probability_to_measure_by(
    images: ImageSet, tmp_path: Path
) -> None:
    spec = dataclasses.replace(SPEC, classes=1)
    content = {"classes": ["redshift"], "settings": {"target": "number"}}
    model = ExplainedModel.of_network(write_folder(tmp_path, spec, build(spec), content))
    found = attributions(model, images, IDS, methods=["occlusion"])
    assert len(found.pictures()["redshift"]) == 3 and not model.has_probabilities
    with pytest.raises(InputError, match="outputs of the network; must be of one of classes"):
        found.verdict()


def test_the_cost_of_a_method_is_counted_in_passes_for_one_galaxy(
    checkpoint: Path, images: ImageSet
) -> None:
    methods = ["grad-cam", "integrated-gradients", "occlusion"]
    found = attributions(ExplainedModel.of_network(checkpoint), images, IDS, methods=methods)
    # one pass that finds the maps, then one forward and one backward
    assert found.passes["grad-cam"] == 3
    # 32 points of the integral, each forward and backward
    assert 64 <= found.passes["integrated-gradients"] <= 70
    # squares of 10 px, 5 px apart, on 64 px: 12 by 12 and the whole image
    assert 144 <= found.passes["occlusion"] <= 170


def test_layers_show_their_strongest_channels(checkpoint: Path, images: ImageSet) -> None:
    found = layers(ExplainedModel.of_network(checkpoint), images, "red")
    assert list(found) == [
        "relu: 64 maps of 32 × 32",
        "layer1: 64 maps of 16 × 16",
        "layer2: 128 maps of 8 × 8",
        "layer3: 256 maps of 4 × 4",
        "layer4: 512 maps of 2 × 2",
    ]
    assert list(layers(ExplainedModel.of_network(checkpoint), images, "red", ["layer2.0"])) == [
        "layer2.0: 128 maps of 8 × 8"
    ]


def test_there_is_a_dream_for_each_class(
    checkpoint: Path, images: ImageSet, tmp_path: Path
) -> None:
    found = maximal_images(ExplainedModel.of_network(checkpoint), steps=3)
    (shown,) = found.values()
    assert [tile.name for tile in shown] == ["round", "<i>spiral</i>"]
    assert shown[0].picture is not None and np.ptp(np.asarray(shown[0].picture)) > 20
    page = Gallery("dreams", "", found).write(tmp_path / "d.html").read_text(encoding="utf-8")
    assert "&lt;i&gt;spiral&lt;/i&gt;" in page and "<i>" not in page


def test_an_overlay_warms_what_speaks_for_and_cools_what_speaks_against() -> None:
    pixels = np.full((4, 4, 3), 100, dtype=np.uint8)
    speaks = np.zeros((4, 4), dtype=np.float32)
    speaks[0, 0], speaks[3, 3] = 1, -1
    seen = overlaid(pixels, speaks)
    assert seen[0, 0, 0] > 200 > seen[0, 0, 2] and seen[3, 3, 2] > 200 > seen[3, 3, 0]
    assert (seen[1, 1] == 100).all()
    assert (
        overlaid(pixels[:, :, :1], speaks).shape
        == overlaid(np.repeat(pixels, 2, 2), speaks).shape
        == (4, 4, 3)
    )
    with pytest.raises(InputError, match="saliency; must have the image's shape"):
        overlaid(pixels, speaks[:2])


def test_judges_that_cannot_judge_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="resnet18: a network without classes of galaxies; must be a fine-tuned"
    ):
        ExplainedModel.of_network("resnet18")
    other = extractor_of("resnet18", weights="none")
    with pytest.raises(
        InputError, match="tiny: head reads the vectors of another network; must have weights"
    ):
        ExplainedModel.of_head(checkpoint, lambda v: v, ("a",), other)
    with pytest.raises(MissingFileError, match="checkpoint record not found"):
        classes_of(tmp_path)
    (tmp_path / "backbone.json").write_text("{}")
    with pytest.raises(InputError, match="checkpoint names no classes, found KeyError"):
        classes_of(tmp_path)
