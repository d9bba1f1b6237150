"""One encoder through every library gives the same vectors, and each is known by its own key."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_files import (
    SIDE,
    draw_images,
    exported,
    features_of,
    onnx_file,
    timm_resnet,
    vision_folder,
)
from places import ROOT
from torch import nn
from verbs import gz as verb

import gzfeatures as gz
from gzfeatures.errors import GzError, InputError, UnknownNameError, WeightsError
from gzfeatures.features.store import Store
from gzfeatures.networks.extraction.spec import Extraction, extractor_of

timm = pytest.importorskip("timm", reason="the extra timm is not installed")
pytest.importorskip("onnxscript", reason="onnxscript, of the extra onnx, writes the ONNX files")
transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, and with one network as every library writes it."""
    folder = tmp_path_factory.mktemp("roads")
    draw_images(folder / "images", 5, 50, 60)
    network, _ = timm_resnet(folder / "timm")
    features_of(network)
    exported(network, folder / "timm" / "encoder.pt2")
    exported(network, folder / "timm" / "one.pt2", batch=False)
    onnx_file(network, folder / "timm" / "encoder.onnx")
    onnx_file(network, folder / "timm" / "one.onnx", batch=False)
    torch.save(network, folder / "module.pt")
    return folder


@pytest.fixture(scope="module")
def images(desk: Path) -> gz.ImageSet:
    return gz.ImageSet.of(desk / "images")


@pytest.fixture(scope="module")
def table(desk: Path, images: gz.ImageSet) -> gz.EmbeddingTable:
    """What timm itself gives, through our road."""
    weights = desk / "timm" / "resnet18.safetensors"
    return gz.extract(images, "timm:resnet18", weights=weights, store=Store(desk / "store"))


def test_a_timm_model_gives_what_timm_gives_on_the_pixels_of_its_own_configuration(
    desk: Path, images: gz.ImageSet, table: gz.EmbeddingTable
) -> None:
    view = table.extractor.view
    assert (view.size, view.crop, view.interpolation) == (SIDE, 0.8, "bicubic")
    pixels = torch.from_numpy(np.stack([images.pixels(row, view) for row in range(5)])).float()
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.25])
    network = torch.load(desk / "module.pt", weights_only=False)
    with torch.inference_mode():
        own = network(((pixels / 255 - mean) / std).permute(0, 3, 1, 2)).numpy()
    # torch and Pillow resample to within one grey level
    assert np.abs(own - table.matrix).max() < 0.02 * np.abs(own).max()


@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        ("torch:{}/encoder.pt2", "auto"),
        ("torch:{}/one.pt2", "auto"),
        ("onnx:{}/encoder.onnx", "auto"),
        ("onnx:{}/one.onnx", "onnxruntime"),
        ("onnx:{}/encoder.onnx", "openvino"),
    ],
)
def test_all_roads_give_the_same_vectors_at_float32(
    name: str, runtime: str, desk: Path, images: gz.ImageSet, table: gz.EmbeddingTable
) -> None:
    backbone = name.format(desk / "timm")
    other = gz.extract(images, backbone, runtime=runtime, store=Store(desk / "store"))
    assert other.extractor.precision == "float32"
    assert np.abs(other.matrix - table.matrix).max() <= 1e-4 * np.abs(table.matrix).max()
    assert other.extractor.fingerprint != table.extractor.fingerprint


def test_a_module_needs_a_name_and_a_view_and_is_known_by_name_and_state(
    desk: Path, images: gz.ImageSet
) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    with pytest.raises(InputError, match="have a name and a view"):
        gz.extract(images, module, name="mine")
    view, store = gz.View(size=16), Store(desk / "store")
    first = gz.extract(images, module, name="mine", view=view, store=store)
    assert module.training, "the caller's module is left as it was"
    pixels = torch.from_numpy(np.stack([images.pixels(row, view) for row in range(5)]))
    with torch.inference_mode():
        expected = module.eval()(pixels.permute(0, 3, 1, 2) / 255).numpy()
    assert np.abs(first.matrix - expected).max() < 0.01
    again = gz.extract(images, module, name="mine", view=view, store=store)
    assert again.made.reused == 5
    with torch.no_grad():
        module[0].bias += 1
    changed = gz.extract(images, module, name="mine", view=view, store=store)
    assert changed.made.computed == 5 and not np.array_equal(changed.matrix, first.matrix)


@pytest.mark.parametrize("registers", [0, 3])
def test_tokens_of_a_vision_transformer_are_pooled_without_class_token_and_registers(
    registers: int, tmp_path: Path, images: gz.ImageSet
) -> None:
    model, folder = vision_folder(tmp_path / "vit", registers)
    store = Store(tmp_path / "store")
    tables = {
        layer: gz.extract(images, f"hf:{folder}", layer=layer, store=store)
        for layer in ("cls", "mean", "cls+mean", None)
    }
    view = tables["cls"].extractor.view
    pixels = torch.from_numpy(np.stack([images.pixels(row, view) for row in range(5)])).float()
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.25])
    with torch.inference_mode():
        tokens = model(((pixels / 255 - mean) / std).permute(0, 3, 1, 2)).last_hidden_state
    places = tokens[:, 1 + registers :]
    assert places.shape[1] == 16
    assert np.abs(tables["mean"].matrix - places.mean(1).numpy()).max() < 0.05
    assert np.abs(tables["cls"].matrix - tokens[:, 0].numpy()).max() < 0.05
    assert np.array_equal(tables[None].matrix, tables["cls"].matrix)
    both = np.concatenate([tables["cls"].matrix, tables["mean"].matrix], 1)
    assert np.allclose(tables["cls+mean"].matrix, both, atol=1e-5)
    assert len({table.extractor.fingerprint for table in tables.values()}) == 3


def test_zoobots_checkpoint_is_a_timm_model_under_another_prefix_and_view(
    desk: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    state = load_file(desk / "timm" / "resnet18.safetensors")
    state = {f"encoder.{name}": value for name, value in state.items() if "fc." not in name}
    torch.save({"state_dict": state | {"head.weight": torch.ones(2)}}, tmp_path / "zoobot.ckpt")
    extractor = extractor_of("zoobot:resnet18", weights=tmp_path / "zoobot.ckpt")
    assert extractor.view == gz.View(size=224, crop=1 / 1.2)
    assert (extractor.mean, extractor.std) == ((0, 0, 0), (1, 1, 1))
    images = gz.ImageSet.of(desk / "images")
    weights = tmp_path / "zoobot.ckpt"
    view = dataclasses.replace(extractor.view, size=64)
    options = {"view": view, "store": Store(tmp_path / "store")}
    assert gz.extract(images, "zoobot:resnet18", weights=weights, **options).dim == 512


@pytest.mark.parametrize(
    ("backbone", "options", "words"),
    [
        ("timm:resnet18", {}, r"needs a weights file; give --weights FILE"),
        (
            "timm:resnet-18",
            {"weights": "none"},
            "be a name of timm.list_models.*nearest are resnet",
        ),
        ("timm:hf-hub:timm/resnet18", {"weights": "none"}, "be a name of timm.list_models"),
        ("timm:local-dir:x", {"weights": "none"}, "be a name of timm.list_models"),
        ("timm:resnet18.mine", {"weights": "none"}, "unknown tag"),
        ("timm:resnet18", {"weights": "none", "layer": "cls"}, "no class token"),
        ("timm:resnet18", {"weights": "none", "layer": "fc"}, "be one of pooled, cls, mean"),
        ("timm:resnet34", {"weights": "{}/resnet18.safetensors"}, "do not fit timm:resnet34"),
        ("onnx:{}/encoder.onnx", {"precision": "bfloat16"}, "precision.*be float32"),
        ("onnx:{}/encoder.onnx", {"runtime": "torch"}, "be onnxruntime or openvino"),
        ("onnx:{}/encoder.onnx", {"device": "cuda"}, "run on the CPU"),
        ("onnx:{}/encoder.onnx", {"layer": "nothing"}, "unknown layer"),
        ("onnx:{}/absent.onnx", {}, "not found"),
        ("torch:{}/resnet18.safetensors", {}, "exported program cannot be read"),
        ("resnet18", {"weights": "none", "runtime": "onnxruntime"}, "ONNX files alone"),
        ("nonsense:x", {}, "unknown backbone"),
    ],
)
def test_what_an_encoder_cannot_be_is_one_line(
    backbone: str, options: dict[str, str], words: str, desk: Path, images: gz.ImageSet
) -> None:
    filled = {key: value.format(desk / "timm") for key, value in options.items()}
    with pytest.raises(GzError, match=words) as caught:
        gz.extract(images, backbone.format(desk / "timm"), store=Store(desk / "store"), **filled)
    assert "\n" not in str(caught.value)


def test_the_tag_of_a_timm_model_decides_its_pixels() -> None:
    plain = extractor_of("timm:resnet50", weights="none")
    tagged = extractor_of("timm:resnet50.tv_in1k", weights="none")
    assert (plain.view.crop, plain.view.interpolation) == (0.95, "bicubic")
    assert (tagged.view.crop, tagged.view.interpolation) == (0.875, "bilinear")
    # mobilenetv3 has a layer between the mean of its features and its classifier
    small = extractor_of("timm:mobilenetv3_small_050", weights="none")
    mean = extractor_of("timm:mobilenetv3_small_050", weights="none", layer="mean")
    assert (small.dim, mean.dim) == (1024, 288)


def test_a_head_on_vectors_of_such_an_encoder_says_that_images_have_to_be_extracted(
    table: gz.EmbeddingTable, desk: Path
) -> None:
    with pytest.raises(InputError, match="extract the images with --backbone"):
        Extraction.repeating(table.extractor, store=Store(desk / "store"))


def test_trained_networks_do_not_start_from_encoders_of_others() -> None:
    from gzfeatures.features.backbones import backbone

    with pytest.raises(InputError, match="only extracted from"):
        backbone("timm:resnet18")
    with pytest.raises(UnknownNameError, match="classifier of torchvision"):
        backbone("resnet999")


def test_weights_that_hold_code_run_nothing(desk: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Stranger:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (marker,)

    torch.save({"conv1.weight": Stranger()}, tmp_path / "w.pth")
    images = gz.ImageSet.of(desk / "images")
    with pytest.raises(WeightsError, match="could run code"):
        gz.extract(images, "timm:resnet18", weights=tmp_path / "w.pth", store=Store(tmp_path / "s"))
    assert not marker.exists()


def test_the_page_on_own_backbones_is_true(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "own-backbone.md").read_text("utf-8")
    blocks = re.findall(r"(?:<!-- file (\S+) -->\n)?```(toml|bash|python)\n(.*?)```", text, re.S)
    assert [kind for _, kind, _ in blocks] == ["toml", "bash", "python"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GZFEATURES_STORE", str(tmp_path / "store"))
    (tmp_path / "images").symlink_to(desk / "images")
    weights = (desk / "timm" / "resnet18.safetensors").read_bytes()
    (tmp_path / "resnet18.safetensors").write_bytes(weights)
    for name, kind, code in blocks:
        if kind == "toml":
            (tmp_path / name).write_text(code)
        elif kind == "bash":
            made = [verb(*line.split()[1:]) for line in code.strip().splitlines()]
            assert [row["dim"] for row in made] == [512, 512]
            view = made[0]["extractor"]["view"]
            assert (view["size"], view["crop"]) == (32, 0.8)
            assert made[0]["extractor"]["mean"] == [0.5, 0.4, 0.3]
        else:
            exec(code.replace("print(table.dim)", "assert table.dim == 8"), {})  # noqa: S102
