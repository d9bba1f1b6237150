"""A finished training is read again only if its starting weights are those it started from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from blobs import draw, labels_of

import gzfeatures as gz
from gzfeatures.experiment import approaches
from gzfeatures.experiment.config import Experiment, load
from gzfeatures.experiment.sample import LabelledSample
from gzfeatures.experiment.settings.approaches import NetworkChoice
from gzfeatures.galaxies.splits.split import Split

HEAD = """
name = "small"
[galaxies]
catalog = "votes.csv"
images = "images"
[[networks]]
name = "resnet18"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Experiment:
    (tmp_path / "small.toml").write_text(HEAD)
    return load(tmp_path / "small.toml")


@pytest.fixture
def sample(tmp_path: Path) -> LabelledSample:
    (tmp_path / "images").mkdir()
    images = gz.ImageSet.of(draw(tmp_path / "images", n=3))
    labels = labels_of(images)
    split = Split(labels.ids[:1], labels.ids[1:2], labels.ids[2:])
    return LabelledSample(labels, split, split, images)


@pytest.mark.parametrize("given", ["folder", "own", "file"])
def test_other_weights_in_the_same_place_are_another_training(
    given: str,
    settings: Experiment,
    sample: LabelledSample,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained: list[bool] = []

    def train(*words: Any, again: bool, **_: Any) -> dict[str, Any]:
        """Write the note of a finished training."""
        folder, key = words[2], words[4]
        (folder / "done").write_text("predictions")
        files = {"done": approaches.fingerprint.of_file(folder / "done")}
        note = {"key": key, "files": files}
        approaches.write_sidecar(folder / "training.json", note)
        trained.append(again)
        return note

    monkeypatch.setattr(approaches, "_train", train)
    monkeypatch.setattr(approaches, "_scored", lambda *_: None)
    place, file = tmp_path / "run", tmp_path / "tuned" / "model.safetensors"
    place.mkdir()
    file.parent.mkdir()
    network = {
        "folder": NetworkChoice(name=str(file.parent)),
        "own": NetworkChoice(name=str(file.parent), weights="own"),
        "file": NetworkChoice(name="resnet18", weights=str(file)),
    }[given]
    for weights, trainings in ((b"one", 1), (b"one", 1), (b"two", 2), (b"two", 2)):
        file.write_bytes(weights)
        approaches.train_network(network, sample, place, settings, seed=0)
        assert len(trained) == trainings
    assert trained == [True, True]


def test_a_network_without_a_file_has_the_key_of_earlier_runs(
    settings: Experiment, sample: LabelledSample
) -> None:
    network = settings.networks[0]
    chosen = network.model_dump(mode="json", exclude={"seeds", "learning_curve", "members"})
    before = [chosen, sample.fingerprint, settings.precision, settings.device, 0]
    key = approaches._training_key(network, sample, settings, 0)
    assert key == approaches.fingerprint.of(before)
