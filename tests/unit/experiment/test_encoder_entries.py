"""A backbone of an experiment may be an encoder of another library, described by its entry."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blobs import draw, labels_of

import gzfeatures as gz
from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.experiment.approaches import extract_table
from gzfeatures.experiment.config import Experiment, load
from gzfeatures.experiment.sample import LabelledSample
from gzfeatures.experiment.steps.plan import starting_weights
from gzfeatures.features.store import Store
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.files import write_sidecar
from gzfeatures.galaxies.splits.split import Split

HEAD = """
name = "small"
[galaxies]
catalog = "votes.csv"
images = "images"
[[heads]]
name = "svm"
[[backbones]]
name = "mine"
"""
ENTRY = 'architecture = "onnx:encoder.onnx"\nview = "size=16"\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n'


def loaded(folder: Path, entry: str) -> Experiment:
    (folder / "small.toml").write_text(HEAD + entry)
    return load(folder / "small.toml")


def encoder(path: Path) -> Path:
    """A graph whose vectors are the means of red, green and blue."""
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    from onnx import TensorProto, helper

    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 16, 16])
    vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", 3])
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Flatten", ["means"], ["vectors"]),
    ]
    graph = helper.make_graph(nodes, "g", [images], [vectors])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


def test_an_entry_with_an_architecture_gives_vectors(tmp_path: Path) -> None:
    encoder(tmp_path / "encoder.onnx")
    choice = loaded(tmp_path, ENTRY).backbones[0]
    assert choice.architecture == f"onnx:{tmp_path / 'encoder.onnx'}"
    (tmp_path / "images").mkdir()
    images = gz.ImageSet.of(draw(tmp_path / "images", n=3))
    table = gz.extract(images, choice.backbone(), store=Store(tmp_path / "store"))
    assert table.extractor.backbone == "mine" and table.dim == 3
    pixels = images.pixels(0, gz.View(size=16)) / 255
    # torch and Pillow resample to within one grey level
    assert np.abs(table.matrix[0] - pixels.mean((0, 1))).max() < 2 / 255


def test_a_table_whose_record_of_training_galaxies_is_not_the_network_s_is_written_again(
    tmp_path: Path,
) -> None:
    encoder(tmp_path / "encoder.onnx")
    (tmp_path / "images").mkdir()
    images = gz.ImageSet.of(draw(tmp_path / "images", n=3))
    labels = labels_of(images)
    split = Split(labels.ids[:1], labels.ids[1:2], labels.ids[2:])
    settings, path = loaded(tmp_path, ENTRY), tmp_path / "t.parquet"

    def written() -> gz.EmbeddingTable:
        sample = LabelledSample(labels, split, split, images)
        choice, store = settings.backbones[0], Store(tmp_path / "store")
        return extract_table(choice, sample, path, settings, store=store)[0]

    first = written()
    older = replace(first.extractor, trained_on=TrainedOn.of(["x"]).encode())
    replace(first, extractor=older).write(path)
    note = json.loads(path.with_suffix(".json").read_text())
    note["files"] = {path.name: fingerprint.of_file(path)}
    write_sidecar(path.with_suffix(".json"), note)
    assert gz.EmbeddingTable.read(path).extractor.trained_on is not None
    assert written().extractor == first.extractor
    assert gz.EmbeddingTable.read(path).extractor.trained_on is None


def test_galaxies_that_an_encoder_of_others_was_trained_on_are_not_looked_up(
    tmp_path: Path,
) -> None:
    assert starting_weights(loaded(tmp_path, ENTRY)) == []


def test_an_entry_without_an_architecture_keeps_the_fingerprint_of_earlier_runs(
    tmp_path: Path,
) -> None:
    plain = loaded(tmp_path, "")
    assert plain.backbones[0].backbone() == "mine"
    settings = plain.model_dump(mode="json")["backbones"][0]
    assert settings["architecture"] is None
    assert plain.fingerprint != loaded(tmp_path, ENTRY).fingerprint


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("mean = [0, 0, 0]\n", "they go with an architecture"),
        ('architecture = "onnx:e.onnx"\nmean = [0, 0]\n', "mean"),
    ],
)
def test_an_entry_that_cannot_be_meant_is_refused(entry: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=line):
        loaded(tmp_path, entry)


def test_an_unknown_kind_of_encoder_is_refused_before_the_run(tmp_path: Path) -> None:
    choice = loaded(tmp_path, 'architecture = "keras:model"\n').backbones[0]
    with pytest.raises(LookupError, match="unknown kind of encoder"):
        choice.backbone()
