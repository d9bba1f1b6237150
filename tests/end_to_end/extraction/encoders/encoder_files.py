"""Files of encoders as other libraries write them, small and with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from gzfeatures.networks._compat_torch import Missing, require_program_loader

SIDE = 32
CONFIG = {
    "architecture": "resnet18",
    "pretrained_cfg": {
        "input_size": [3, SIDE, SIDE],
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.3, 0.25],
        "interpolation": "bicubic",
        "crop_pct": 0.8,
    },
}
"""Configuration that timm writes beside weights."""


def require_programs() -> None:
    """Skip a test where PyTorch is too old to read programs without unpickling objects."""
    try:
        require_program_loader()
    except Missing as missing:
        pytest.skip(f"{missing}: programs are refused")


def timm_resnet(folder: Path) -> tuple[nn.Module, Path]:
    """A timm ResNet-18 with its classifier, and the folder's weights and configuration."""
    import timm

    torch.manual_seed(3)
    network = timm.create_model("resnet18", num_classes=7).eval()
    # statistics of batch norms as a training leaves them
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    folder.mkdir(exist_ok=True)
    save_file(network.state_dict(), folder / "resnet18.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return network, folder / "resnet18.safetensors"


def draw_images(folder: Path, number: int, height: int = SIDE, width: int = SIDE) -> None:
    """Write images of noise, g0.png and on."""
    folder.mkdir()
    for k in range(number):
        noise = np.random.default_rng(k).integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"g{k}.png")


def write_entry(path: Path, architecture: str) -> None:
    """Write the entry of a backbone `e` for images of `SIDE` px."""
    path.write_text(
        f'[[backbones]]\nname = "e"\narchitecture = "{architecture}"\n'
        f'view = "size={SIDE}"\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n'
    )


def features_of(network: Any) -> nn.Module:
    """The same timm network without its classifier."""
    network.reset_classifier(0)
    return network.eval()


def exported(network: nn.Module, path: Path, batch: bool = True) -> Path:
    """The network as torch.export saves it, for images of `SIDE` px."""
    require_programs()
    size = {0: torch.export.Dim("batch", min=1, max=512)} if batch else None
    example = torch.zeros(2 if batch else 1, 3, SIDE, SIDE)
    program = torch.export.export(network, (example,), dynamic_shapes=(size,))
    torch.export.save(program, path)
    return path


def onnx_file(network: nn.Module, path: Path, batch: bool = True) -> Path:
    """The network as torch.onnx writes it, in one file."""
    pytest.importorskip("onnxscript", reason="onnxscript, of the extra onnx, writes the files")
    import warnings

    example = torch.zeros(2 if batch else 1, 3, SIDE, SIDE)
    shapes = ({0: torch.export.Dim("batch", min=1, max=512)},) if batch else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, (example,), dynamo=True, dynamic_shapes=shapes, verbose=False
        )
    program.save(str(path), external_data=False)
    return path


def vision_folder(folder: Path, registers: int = 0) -> tuple[Any, Path]:
    """A small vision transformer of transformers, and its folder."""
    import transformers

    torch.manual_seed(5)
    small = {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 8,
    }
    if registers:
        config = transformers.Dinov2WithRegistersConfig(num_register_tokens=registers, **small)
        model = transformers.Dinov2WithRegistersModel(config)
    else:
        model = transformers.ViTModel(
            transformers.ViTConfig(intermediate_size=48, **small), add_pooling_layer=False
        )
    model.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "size": {"height": SIDE, "width": SIDE},
                "image_mean": [0.5, 0.4, 0.3],
                "image_std": [0.2, 0.3, 0.25],
                "resample": 3,
            }
        )
    )
    return model, folder
