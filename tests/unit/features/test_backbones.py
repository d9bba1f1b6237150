from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, MissingFileError, UnknownNameError, WeightsError
from gzfeatures.features.backbones import BACKBONES, Backbone, backbone, backbone_of_file
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.features.weights import (
    RANDOM,
    hub_file,
    record_of_file,
    training_record,
    weights_digest,
    weights_file,
)


def checkpoint(folder: Path, **changes: object) -> Path:
    """A checkpoint folder with a record and some bytes as weights."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    spec = dataclasses.replace(
        BACKBONES["resnet18"], name="mine", classes=5, weights=None, url=None
    )
    note = {
        "format": 1,
        "backbone": spec.asdict(),
        "weights_sha256": fingerprint.of_bytes(b"weights"),
        "classes": [],
    }
    (folder / "backbone.json").write_text(json.dumps({**note, **changes}))
    return folder


@pytest.mark.parametrize("name", BACKBONES)
def test_every_entry_is_complete(name: str) -> None:
    spec = BACKBONES[name]
    assert spec.name == name == name.lower() and "_" not in name
    assert spec.licence and spec.source.startswith("https://")
    assert Backbone.fromdict(json.loads(json.dumps(spec.asdict()))) == spec
    assert dataclasses.replace(backbone(name), trained_on=None) == spec
    assert backbone(spec) == backbone(name) == backbone(backbone(name))


def test_published_weights_are_torchvision_s_own() -> None:
    import torch
    from torchvision import models

    for spec in BACKBONES.values():
        if spec.url:
            member = models.get_model_weights(spec.architecture)[
                str(spec.weights).removeprefix("torchvision:")
            ]
            assert spec.url == member.url
            assert len(spec.sha256) == 8 and spec.sha256 in member.url
            place = hub_file(spec)
            assert place is not None and place.parent == Path(torch.hub.get_dir()) / "checkpoints"


def test_googlenet_is_normalised_as_it_was_trained() -> None:
    assert BACKBONES["googlenet"].mean == BACKBONES["googlenet"].std == (0.5, 0.5, 0.5)


def test_unknown_backbone_lists_the_legal_names() -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"a classifier of torchvision.*found resnet19; did you mean 'resnet18'",
    ):
        backbone("resnet19")


def test_impossible_backbones_are_refused() -> None:
    spec = BACKBONES["resnet18"]
    with pytest.raises(InputError, match="one mean and one std > 0 per band"):
        dataclasses.replace(spec, std=(1.0, 1.0))
    with pytest.raises(InputError, match="dim, classes and members; must be positive"):
        dataclasses.replace(spec, dim=0)
    with pytest.raises(InputError, match="stride_on; must be conv1 or conv2, found conv3"):
        dataclasses.replace(spec, stride_on="conv3")
    with pytest.raises(InputError, match=r"backbone record cannot be read.*colour"):
        Backbone.fromdict({**spec.asdict(), "colour": "red"})


def test_checkpoint_folder_is_a_backbone(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "c")
    spec = backbone(folder)
    assert (spec.name, spec.classes) == ("mine", 5)
    path = weights_file(spec)
    assert path == (folder / "model.safetensors").resolve()
    assert weights_digest(spec, path) == fingerprint.of_bytes(b"weights")
    assert backbone(str(folder)) == spec


def test_exchanged_checkpoint_weights_are_noticed(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "c")
    (folder / "model.safetensors").write_bytes(b"other")
    spec = backbone(folder)
    with pytest.raises(
        WeightsError, match="damaged or was exchanged; must have a sha256 that begins with"
    ):
        weights_digest(spec, weights_file(spec))


def test_broken_checkpoint_folders_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="checkpoint format is newer; must be at most 1, found 2"):
        backbone(checkpoint(tmp_path / "new", format=2))
    with pytest.raises(
        InputError, match="must hold format, backbone and weights_sha256, found TypeError"
    ):
        backbone(checkpoint(tmp_path / "bad", backbone=3))
    folder = checkpoint(tmp_path / "text")
    (folder / "backbone.json").write_text("{")
    with pytest.raises(InputError, match="checkpoint record cannot be read"):
        backbone(folder)
    (folder / "backbone.json").unlink()
    with pytest.raises(MissingFileError, match="checkpoint record not found"):
        backbone(folder)
    folder = checkpoint(tmp_path / "empty")
    (folder / "model.safetensors").unlink()
    with pytest.raises(MissingFileError, match="checkpoint weights not found"):
        backbone(folder)


def test_weights_come_from_torch_home_a_file_or_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = BACKBONES["resnet18"]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert weights_file(spec) == tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert (
        weights_file(spec)
        == tmp_path / "cache" / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    )
    assert weights_file(spec, "none") is None and weights_digest(spec, None) == RANDOM
    file = tmp_path / "w.pth"
    with pytest.raises(MissingFileError, match=r"w\.pth: weights file not found"):
        weights_file(spec, file)
    with pytest.raises(MissingFileError, match="weights file not found"):
        weights_digest(spec, file)
    file.write_bytes(b"any")
    assert weights_digest(spec, weights_file(spec, file)) == fingerprint.of_bytes(b"any")


def test_backbone_without_published_weights_names_the_two_ways() -> None:
    with pytest.raises(
        WeightsError,
        match="no weights that can be downloaded; give --weights FILE, or --weights none",
    ):
        weights_file(BACKBONES["resnet50-v1"])


def test_damaged_download_is_noticed_by_the_digest_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    spec = BACKBONES["resnet18"]
    path = hub_file(spec)
    assert path is not None
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    with pytest.raises(WeightsError, match="begins with f37072fd, found"):
        weights_digest(spec, path)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.text(max_size=8), max_size=20), st.lists(st.text(max_size=8), max_size=20))
def test_training_ids_are_known_again_after_writing(ids: list[str], others: list[str]) -> None:
    known = TrainedOn.decode(TrainedOn.of(ids).encode())
    assert len(known) == len(set(ids))
    assert known.contains([*ids, *others]).tolist() == [
        name in set(ids) for name in [*ids, *others]
    ]
    assert known.fingerprint == TrainedOn.of(reversed(ids)).fingerprint


def test_a_file_of_weights_has_the_record_of_the_checkpoint_folder_in_which_it_lies(
    tmp_path: Path,
) -> None:
    text = TrainedOn.of(["c", "d"]).encode()
    spec = dataclasses.replace(
        BACKBONES["resnet18"], weights=None, url=None, trained_on=text
    ).asdict()
    file = checkpoint(tmp_path / "tuned", backbone=spec) / "model.safetensors"
    assert record_of_file(file) == text == backbone(file.parent).trained_on
    (tmp_path / "link").symlink_to(file)
    assert record_of_file(tmp_path / "link") == text
    # a copy elsewhere, or other bytes beside the record, are weights of unknown training
    (tmp_path / "model.safetensors").write_bytes(file.read_bytes())
    assert record_of_file(tmp_path / "model.safetensors") is None
    file.write_bytes(b"other weights")
    assert record_of_file(file) is None
    (file.parent / "backbone.json").write_text("{}")
    assert record_of_file(file) is None
    with pytest.raises(MissingFileError, match="weights file not found"):
        record_of_file(tmp_path / "none.safetensors")


def test_weights_that_come_with_the_package_are_known_under_any_path(tmp_path: Path) -> None:
    spec = backbone("googlenet-gz2")
    own = weights_file(spec)
    assert own is not None and spec.trained_on
    (tmp_path / "copy.safetensors").write_bytes(own.read_bytes())
    other = BACKBONES["googlenet"]
    for file in (own, tmp_path / "copy.safetensors"):
        assert training_record(other, file, fingerprint.of_file(file)) == spec.trained_on
    assert training_record(spec, own, spec.sha256) == spec.trained_on
    assert training_record(spec, None, RANDOM) is None


def test_damaged_records_of_training_ids_are_refused() -> None:
    with pytest.raises(InputError, match="record of training ids cannot be read"):
        TrainedOn.decode("no base64!")
    with pytest.raises(InputError, match="record of training ids cannot be read"):
        TrainedOn.decode("AAAA")
    with pytest.raises(InputError, match="strictly increasing"):
        TrainedOn(np.array([2, 1], dtype=np.uint64))


@pytest.mark.parametrize("record", ["{", "[]", "{}", '{"format": 99, "weights_sha256": "0"}'])
def test_a_foreign_record_beside_a_file_of_weights_says_nothing(
    record: str, tmp_path: Path
) -> None:
    file = checkpoint(tmp_path / "mine") / "model.safetensors"
    digest = fingerprint.of_file(file)
    found = backbone_of_file(file, digest)
    assert found is not None and found.name == "mine"
    (file.parent / "backbone.json").write_text(record)
    assert backbone_of_file(file, digest) is None
    (file.parent / "backbone.json").write_text(json.dumps({"format": 99, "weights_sha256": digest}))
    with pytest.raises(InputError):
        backbone_of_file(file, digest)
