"""Weights from a file of a checkpoint folder are known by the galaxies they were trained on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from blobs import draw

from gzfeatures import fingerprint
from gzfeatures.errors import LeakError
from gzfeatures.experiment.config import load
from gzfeatures.experiment.steps.plan import weight_files
from gzfeatures.features.backbones import BACKBONES
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.extraction.spec import extractor_of
from gzfeatures.networks.training.initialisation import Initialisation, seen_by

EXPERIMENT = """
name = "small"
[galaxies]
catalog = "votes.csv"
images = "images"
[[heads]]
name = "svm"
[[backbones]]
name = "resnet18"
weights = "{0}"
[[backbones]]
name = "resnet34"
weights = "none"
[[networks]]
name = "resnet18"
weights = "{0}"
[[networks]]
name = "resnet18"
weights = "own"
"""


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    (tmp_path / "images").mkdir()
    return ImageSet.of(draw(tmp_path / "images", n=6))


@pytest.fixture
def file(tmp_path: Path, images: ImageSet) -> Path:
    """A file of weights in a checkpoint folder, trained on the first two galaxies."""
    folder = tmp_path / "tuned"
    folder.mkdir()
    spec = dataclasses.replace(
        BACKBONES["resnet18"],
        weights=None,
        url=None,
        trained_on=TrainedOn.of(images.ids[:2]).encode(),
    )
    (folder / "model.safetensors").write_bytes(b"weights")
    record = {
        "format": 1,
        "backbone": spec.asdict(),
        "weights_sha256": fingerprint.of_bytes(b"weights"),
    }
    (folder / "backbone.json").write_text(json.dumps(record))
    return folder / "model.safetensors"


def test_an_extraction_with_the_file_has_the_record_of_its_folder(file: Path) -> None:
    by_folder, by_file = extractor_of(str(file.parent)), extractor_of("resnet18", weights=file)
    assert by_file.trained_on == by_folder.trained_on is not None
    assert extractor_of("resnet18", weights="none").trained_on is None


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "googlenet-gz2"])
def test_a_training_from_the_file_refuses_its_training_galaxies_as_test_galaxies(
    name: str, file: Path, images: ImageSet
) -> None:
    ids = images.ids
    with pytest.raises(LeakError, match="2 test galaxies were trained on"):
        Initialisation.of(name, file, 2, None, Split(ids[3:5], ids[5:], ids[:3]), images)
    start = Initialisation.of(name, file, 2, None, Split(ids[:3], ids[3:5], ids[5:]), images)
    assert start.seen_before().contains(ids).tolist() == [True] * 2 + [False] * 4
    assert seen_by(name, images, file).tolist() == ids[:2].tolist()
    assert len(seen_by(name, images, "none")) == 0


def test_an_experiment_lists_the_files_of_weights_that_its_parts_start_from(
    tmp_path: Path, file: Path
) -> None:
    (tmp_path / "small.toml").write_text(EXPERIMENT.format(file))
    assert weight_files(load(tmp_path / "small.toml")) == [str(file), str(file)]
    assert np.all([Path(each).is_file() for each in weight_files(load(tmp_path / "small.toml"))])
