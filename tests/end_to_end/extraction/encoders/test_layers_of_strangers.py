"""Layers in train mode and a Resize unlike PyTorch's are found in the graph, where no batch shows
them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoder_files import SIDE, draw_images, onnx_file, require_programs, write_entry
from torch import nn
from torch.nn.functional import interpolate

import gzfeatures as gz
from gzfeatures.errors import WeightsError
from gzfeatures.features.store import Store
from gzfeatures.networks.encoders.exported_programs import ProgramEncoder, read_program
from gzfeatures.networks.encoders.layer_trials import (
    resizing_of_onnx,
    training_of_onnx,
    training_of_program,
)
from gzfeatures.networks.encoders.onnx_files import read_model
from gzfeatures.networks.extraction.foreign import check
from gzfeatures.networks.extraction.spec import Extraction

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
FLOAT = onnx.TensorProto.FLOAT


class Normed(nn.Module):
    """A small encoder with a batch norm and a dropout."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.drop = nn.Dropout(dropout)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.drop(self.norm(self.conv(images)).relu().mean((2, 3)))


def program_of(network: nn.Module, path: Path, batch: int, sizes: Any = None) -> Path:
    """A network as torch.export saves it."""
    require_programs()
    example = (torch.rand(batch, 3, SIDE, SIDE),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network, example, dynamic_shapes=sizes), path)
    return path


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    draw_images(tmp_path / "images", 3)
    for kind, name in (("torch", "e.pt2"), ("onnx", "e.onnx")):
        write_entry(tmp_path / f"{kind}.toml", f"{kind}:{name}")
    return tmp_path


def extracted(desk: Path, kind: str) -> gz.EmbeddingTable:
    images = gz.ImageSet.of(desk / "images")
    return gz.extract(images, str(desk / f"{kind}.toml"), store=Store(desk / "store"))


def checked(desk: Path, kind: str) -> list[str]:
    """What --check says of an encoder, one line a trial."""
    return [str(each) for each in check(Extraction(str(desk / f"{kind}.toml")))[1]]


@pytest.mark.parametrize("sizes", [None, ({0: torch.export.Dim.AUTO},)], ids=["fixed", "auto"])
def test_a_program_of_one_image_at_a_time_gives_each_image_its_vector_and_the_check_says_so(
    sizes: Any, desk: Path
) -> None:
    network = Normed().eval()
    # torch fixes an automatic batch to the example's 1 without a word
    program_of(network, desk / "e.pt2", 1, sizes)
    assert ProgramEncoder(read_program(desk / "e.pt2"), "output", "e").batch == 1
    table = extracted(desk, "torch")
    images = gz.ImageSet.of(desk / "images")
    pixels = np.stack([images.pixels(row, table.extractor.view) for row in range(3)])
    normed = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    with torch.inference_mode():
        assert np.allclose(table.matrix, network(normed).numpy(), atol=1e-5)
    told = checked(desk, "torch")
    assert sum("not known (it takes one image at a time)" in line for line in told) == 2
    assert "layers in train mode: sound (1 batch norms, 1 dropouts, none of them)" in told


@pytest.mark.parametrize("batch", [1, 2])
def test_a_program_whose_batch_norm_is_in_train_mode_is_refused_also_at_a_batch_of_one(
    batch: int, desk: Path
) -> None:
    program_of(Normed().train(), desk / "e.pt2", batch)
    with pytest.raises(WeightsError, match=r"not sound: .*(batch_norm.* in train mode|batch stat)"):
        extracted(desk, "torch")


def test_a_dropout_that_drops_nothing_is_no_fault_and_one_that_does_is(tmp_path: Path) -> None:
    for share, sound in ((0.0, True), (0.5, False)):
        network = Normed(share).eval()
        network.drop.train()
        path = program_of(network, tmp_path / "e.pt2", 1)
        module = ProgramEncoder(read_program(path), "output", "e").model
        assert training_of_program(module).sound is sound


class OwnNorm(nn.Module):
    """A normalisation by the batch that is written out."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images - images.mean((0, 2, 3), keepdim=True)).amax((2, 3))


def test_a_mean_over_the_images_of_a_batch_of_one_is_said(desk: Path) -> None:
    program_of(OwnNorm(), desk / "e.pt2", 1)
    onnx_file(OwnNorm(), desk / "e.onnx", batch=False)
    for kind in ("torch", "onnx"):
        (line,) = (each for each in checked(desk, kind) if each.startswith("layers in train mode"))
        assert "not known" in line and "averages over the images of a batch" in line


def norm_file(path: Path, training: bool = False, opset: int = 15, dropout: bool = False) -> Path:
    """An ONNX file of one image at a time with a batch norm and a dropout."""
    helper = onnx.helper
    taken = helper.make_tensor_value_info("images", FLOAT, [1, 3, SIDE, SIDE])
    given = helper.make_tensor_value_info("vectors", FLOAT, [1, 3])
    constants = [
        helper.make_tensor(name, FLOAT, [3], [value] * 3)
        for name, value in (("scale", 1.0), ("bias", 0.5), ("mean", 0.1), ("var", 2.0))
    ]
    constants.append(helper.make_tensor("ratio", FLOAT, [], [0.5]))
    constants.append(helper.make_tensor("flag", onnx.TensorProto.BOOL, [], [dropout]))
    outputs = ["normed", "mean_out", "var_out"] if training else ["normed"]
    options = {"training_mode": 1} if training else {}
    names = ["images", "scale", "bias", "mean", "var"]
    nodes = [
        helper.make_node("BatchNormalization", names, outputs, name="bn", **options),
        helper.make_node("Dropout", ["normed", "ratio", "flag"], ["kept"], name="drop"),
        helper.make_node("GlobalAveragePool", ["kept"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["vectors"]),
    ]
    graph = helper.make_graph(nodes, "g", [taken], [given], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_batch_norms_and_dropouts_in_train_mode_are_read_from_a_graph_of_one_image_at_a_time(
    desk: Path,
) -> None:
    norm_file(desk / "e.onnx")
    assert extracted(desk, "onnx").dim == 3
    assert "layers in train mode: sound (1 batch norms, 1 dropouts, none of them)" in checked(
        desk, "onnx"
    )
    norm_file(desk / "e.onnx", training=True)
    with pytest.raises(WeightsError, match=r"BatchNormalization bn in train mode.*eval mode"):
        extracted(desk, "onnx")
    norm_file(desk / "e.onnx", dropout=True)
    with pytest.raises(WeightsError, match=r"not sound: .*(dropout|Dropout drop in train mode)"):
        extracted(desk, "onnx")


def test_an_export_from_train_mode_keeps_its_dropout_and_is_refused(desk: Path) -> None:
    onnx_file(Normed(0.5).train(), desk / "e.onnx", batch=False)
    trial = training_of_onnx(read_model(desk / "e.onnx")[1])
    if trial.sound:
        pytest.skip(f"the exporter took dropout out: {trial}")
    with pytest.raises(WeightsError, match=r"not sound: .*(dropout|in train mode)"):
        extracted(desk, "onnx")


def test_statistics_that_are_inputs_of_a_batch_norm_but_computed_from_the_images_are_found(
    tmp_path: Path,
) -> None:
    model = onnx.load(norm_file(tmp_path / "e.onnx"))
    assert training_of_onnx(model).sound is True
    axes = onnx.helper.make_node("GlobalAveragePool", ["images"], ["means"])
    flat = onnx.helper.make_node("Reshape", ["means", "three"], ["own_mean"])
    three = onnx.helper.make_tensor("three", onnx.TensorProto.INT64, [1], [3])
    model.graph.initializer.append(three)
    model.graph.node[0].input[3] = "own_mean"
    nodes = [axes, flat, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert "BatchNormalization bn in train mode" in str(training_of_onnx(model))


def resize_file(path: Path, side: int, **options: Any) -> Path:
    """An ONNX file that resizes 64 px images; its vectors are all pixels."""
    helper = onnx.helper
    taken = helper.make_tensor_value_info("images", FLOAT, [1, 3, 64, 64])
    given = helper.make_tensor_value_info("vectors", FLOAT, [1, 3 * side * side])
    sizes = helper.make_tensor("sizes", onnx.TensorProto.INT64, [4], [1, 3, side, side])
    nodes = [
        helper.make_node("Resize", ["images", "", "", "sizes"], ["small"], **options),
        helper.make_node("Flatten", ["small"], ["vectors"]),
    ]
    graph = helper.make_graph(nodes, "g", [taken], [given], [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "linear", "exclude_outside": 1}, ""),
        ({"mode": "linear"}, "without exclude_outside"),
        ({"mode": "cubic", "exclude_outside": 1, "cubic_coeff_a": -0.5}, ""),
        ({"mode": "cubic", "exclude_outside": 1}, "coefficient of -0.75"),
    ],
    ids=["linear", "outside", "cubic", "coefficient"],
)
def test_a_resize_in_the_graph_is_as_pytorchs_or_it_is_said(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    from onnxruntime import InferenceSession

    path = resize_file(tmp_path / "r.onnx", 20, antialias=1, **options)
    (trial,) = resizing_of_onnx(read_model(path)[1], 64)
    noise = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64)).astype(np.float32)
    (theirs,) = InferenceSession(path).run(None, {"images": noise})
    mode = "bilinear" if options["mode"] == "linear" else "bicubic"
    ours = interpolate(torch.from_numpy(noise), (20, 20), mode=mode, antialias=True).flatten(1)
    # the rule is what the two libraries do, in grey levels
    assert (np.abs(theirs - ours.numpy()).max() <= 1) is not bool(words)
    assert trial.sound is (None if words else True) and words in trial.detail


def test_a_resize_without_antialias_is_said_where_it_makes_images_smaller(tmp_path: Path) -> None:
    for side, sound in ((20, None), (128, True)):
        path = resize_file(tmp_path / "r.onnx", side, mode="linear")
        (trial,) = resizing_of_onnx(read_model(path)[1], 64)
        assert trial.sound is sound
    assert resizing_of_onnx(read_model(norm_file(tmp_path / "n.onnx"))[1], SIDE) == []


def test_an_onnx_file_is_read_once_when_it_is_judged(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gzfeatures.networks.extraction import foreign

    norm_file(desk / "e.onnx")
    extraction = Extraction(str(desk / "onnx.toml"))
    spec, extractor = foreign.described(extraction.backbone), extraction.extractor
    reads = []
    real = onnx.load
    monkeypatch.setattr(onnx, "load", lambda *a, **o: reads.append(a) or real(*a, **o))
    foreign._findings_of_onnx(spec, extractor, sizes=True)
    assert len(reads) == 1
