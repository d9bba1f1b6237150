"""Tokens, maps, pixels and arithmetic are those that timm, zoobot and OpenVINO themselves use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gzfeatures.features.backbones import Backbone
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.network_crops import to_views
from gzfeatures.synthetic.survey import draw_survey

timm = pytest.importorskip("timm", reason="the extra timm is not installed")
from gzfeatures.networks.encoders.timm_models import ZOOBOT, TimmEncoder, _config  # noqa: E402
from gzfeatures.networks.encoders.view_config import of_timm  # noqa: E402


def vectors_of(model: Any, layer: str, images: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return TimmEncoder(model.eval(), layer, "x")(images).numpy()


def features_of(model: Any, images: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return model.eval().forward_features(images).numpy()


def test_means_of_timms_transformers_leave_out_class_token_and_registers() -> None:
    torch.manual_seed(0)
    model = timm.create_model(
        "vit_tiny_patch16_224", num_classes=0, img_size=64, depth=1, reg_tokens=4
    )
    images = torch.rand(2, 3, 64, 64)
    tokens = features_of(model, images)
    assert tokens.shape == (2, 1 + 4 + 16, 192)
    assert np.allclose(vectors_of(model, "mean", images), tokens[:, 5:].mean(1), atol=1e-6)
    assert not np.allclose(tokens[:, 1:].mean(1), tokens[:, 5:].mean(1), atol=1e-3)
    assert np.allclose(vectors_of(model, "cls", images), tokens[:, 0], atol=1e-6)
    # this one's classifier reads the class token
    assert np.allclose(vectors_of(model, "pooled", images), tokens[:, 0], atol=1e-6)


def test_dinov3s_own_vector_is_the_mean_of_its_patches_without_five_prefix_tokens() -> None:
    torch.manual_seed(0)
    model = timm.create_model("vit_small_patch16_dinov3", num_classes=0, depth=1)
    # any multiple of the patch is taken: its positions are turned, not kept in a table
    images = torch.rand(2, 3, 80, 80)
    tokens = features_of(model, images)
    assert model.num_prefix_tokens == 5 and tokens.shape[1] == 5 + 25
    for layer in ("pooled", "mean"):
        assert np.allclose(vectors_of(model, layer, images), tokens[:, 5:].mean(1), atol=1e-5)


def test_maps_of_swin_are_pooled_over_their_places_not_over_their_channels() -> None:
    torch.manual_seed(0)
    model = timm.create_model(
        "swin_tiny_patch4_window7_224", num_classes=0, embed_dim=24, depths=(1, 1, 1, 1)
    )
    images = torch.rand(2, 3, 224, 224)
    places = features_of(model, images)
    assert places.shape == (2, 7, 7, 192)
    for layer in ("pooled", "mean"):
        assert np.allclose(vectors_of(model, layer, images), places.mean((1, 2)), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "size", "mean"),
    [
        ("vit_small_patch14_dinov2", 518, (0.485, 0.456, 0.406)),
        ("vit_small_patch16_dinov3", 256, (0.485, 0.456, 0.406)),
        ("maxvit_tiny_tf_224", 224, None),
        ("maxvit_tiny_rw_224", 224, (0.5, 0.5, 0.5)),
    ],
)
def test_size_and_mean_are_those_of_timms_tag(
    name: str, size: int, mean: tuple[float, ...] | None
) -> None:
    entry = timm.models.get_pretrained_cfg(name).to_dict()
    pixels = of_timm(_config(name), "x")
    assert (pixels.view.size, pixels.view.interpolation) == (size, "bicubic")
    assert pixels.mean == tuple(entry["mean"]) and pixels.std == tuple(entry["std"])
    assert mean is None or pixels.mean == pytest.approx(mean)


def test_zoobots_pixels_are_those_of_its_inference(tmp_path: Path) -> None:
    """It magnifies the middle 1/1.2 without antialias, then resizes to 224 px with it."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    survey = draw_survey(tmp_path, 3, seed=3, size=424, progress=False)
    images = ImageSet.of(survey.images)
    for row, path in enumerate(sorted(survey.images.glob("*.jpg"))):
        picture = functional.pil_to_tensor(Image.open(path).convert("RGB")).float() / 255
        magnified = functional.affine(
            picture, 0.0, [0, 0], 1.2, [0.0, 0.0], interpolation=InterpolationMode.BILINEAR
        )
        theirs = functional.resize(magnified, [224, 224], antialias=True).permute(1, 2, 0).numpy()
        (pixels,) = to_views(images, row, (ZOOBOT.view,))
        ours = (pixels / 255 - ZOOBOT.mean) / np.asarray(ZOOBOT.std)
        # twice resampled, theirs is a little smoother: within two grey levels on average
        apart = np.abs(ours - theirs).mean() * 255
        assert apart < 2 and ours.min() >= 0 and ours.max() <= 1
        for other in (View(size=224), View(size=224, crop=0.7)):
            (wrong,) = to_views(images, row, (other,))
            assert np.abs(wrong / 255 - theirs).mean() * 255 > 2 * apart


def test_openvino_is_asked_for_single_precision_for_files_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On processors with bfloat16 it would compute in that, silently, and vectors differ by .03."""
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    vino = pytest.importorskip("openvino", reason="the extra openvino is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    from gzfeatures.networks.encoders.onnx_files import OnnxSession, describe, read_graph

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    taken = helper.make_tensor_value_info("images", kind, [1, 3, 16, 16])
    given = helper.make_tensor_value_info("vectors", kind, [1, 768])
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["images"], ["vectors"])], "g", [taken], [given]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (tmp_path / "f.onnx").write_bytes(model.SerializeToString())
    pixels = {"input_size": [3, 16, 16], "mean": [0.5] * 3, "std": [0.5] * 3}
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": pixels}))
    spec: Backbone = describe("onnx", str(tmp_path / "f.onnx"), None)
    hints = []
    real = vino.Core.compile_model

    def watched(self: Any, model: Any, device: str, settings: dict[str, Any]) -> Any:
        compiled = real(self, model, device, settings)
        hints.append(compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
        return compiled

    monkeypatch.setattr(vino.Core, "compile_model", watched)
    graph = read_graph(tmp_path / "f.onnx")
    OnnxSession(spec, graph, spec.layer, "openvino", threads=1)
    assert hints == ["f32"]
