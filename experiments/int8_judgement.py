"""How far two libraries agree on networks in 8-bit integers that were calibrated well and badly.

    python experiments/int8_judgement.py BACKBONE [--weights FILE] [--size 96]

The backbone is written as an ONNX file and quantised by onnxruntime on simulated galaxies with one
scale for each channel or each tensor, and badly: on 4 galaxies, on noise, on black images. Printed
for each are plain cosine, centred cosine and the share of the 5 nearest neighbours: between
onnxruntime and OpenVINO on the 24 images of the trial (which is judged), and between onnxruntime's
integers and floats on 64 other simulated galaxies (which tells what the vectors lose).
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import gzfeatures as gz
from gzfeatures.features.backbones import backbone as backbone_of
from gzfeatures.networks.encoders.onnx_files import OnnxSession, describe, read_graph
from gzfeatures.networks.encoders.soundness import (
    QUANTISED_IMAGES,
    directions_and_neighbours,
    trial_images,
)
from gzfeatures.networks.extraction.openvino import _galaxies
from gzfeatures.networks.models.load import load

Pixels = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("backbone")
    parser.add_argument("--weights", help='weights file, or "none" for random ones')
    parser.add_argument("--size", type=int, default=96, help="side of the images in px")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    size = chosen.size
    galaxies = np.concatenate(_galaxies(gz.View(size=size), 164))
    calibrating, others = galaxies[:100], galaxies[100:]
    noise = np.random.default_rng(0).integers(0, 256, (16, size, size, 3)).astype(np.uint8)
    ways: dict[str, tuple[Pixels, dict[str, Any]]] = {
        "a scale for each channel": (calibrating, {"per_channel": True}),
        "a scale for each tensor": (calibrating, {"per_channel": False}),
        "calibrated on 4 galaxies": (calibrating[:4], {"per_channel": True}),
        "calibrated on noise": (noise, {"per_channel": True}),
        "calibrated on black": (np.zeros_like(noise), {"per_channel": True}),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = written(chosen.backbone, chosen.weights, size, folder)
        exact = run(folder / "float.onnx", "onnxruntime", others)
        trial = trial_images(size, QUANTISED_IMAGES, seed=1)
        for label, (pixels, options) in ways.items():
            file = quantised(folder, pixels, spec, **options)
            one, other = (run(file, library, trial) for library in ("onnxruntime", "openvino"))
            lost = run(file, "onnxruntime", others)
            print(f"{label:26} libraries {alike(one, other)}   floats {alike(exact, lost)}")


def written(name: str, weights: str | None, size: int, folder: Path) -> gz.Backbone:
    """Write a backbone as `float.onnx`, for one image at a time, with its pixels beside it."""
    spec = backbone_of(name)
    network = load(spec, weights, spec.layer, size)
    if weights == "none":
        torch.manual_seed(3)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 1.5)
    example = (torch.zeros(1, 3, size, size),)
    program = torch.onnx.export(network, example, dynamo=True, verbose=False)
    program.save(str(folder / "float.onnx"), external_data=False)
    pixels = {"input_size": [3, size, size], "mean": list(spec.mean), "std": list(spec.std)}
    (folder / "config.json").write_text(json.dumps({"pretrained_cfg": pixels}))
    return spec


class Pictures:
    """Give normalised pictures to onnxruntime, one at a time."""

    def __init__(self, name: str, pixels: Pixels, spec: gz.Backbone) -> None:
        self._name = name
        shifted = (pixels / 255 - spec.mean) / spec.std
        self._rest: Iterator[Any] = iter(shifted.transpose(0, 3, 1, 2).astype(np.float32))

    def get_next(self) -> dict[str, Any] | None:
        picture = next(self._rest, None)
        return None if picture is None else {self._name: picture[None]}

    def __iter__(self) -> Pictures:
        return self


def quantised(folder: Path, pixels: Pixels, spec: gz.Backbone, **options: Any) -> Path:
    """Quantise `float.onnx` as an export does, but with other options."""
    from onnxruntime import quantization

    graph = read_graph(folder / "float.onnx")
    quantization.quantize_static(
        str(folder / "float.onnx"),
        str(folder / "int8.onnx"),
        Pictures(graph.images.name, pixels, spec),
        op_types_to_quantize=["Conv", "Gemm", "MatMul"],
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        reduce_range=True,
        **options,
    )
    return folder / "int8.onnx"


def run(file: Path, library: str, pixels: Pixels) -> Vectors:
    """Return the vectors of pixels by a library."""
    spec = describe("onnx", str(file), None)
    return OnnxSession(spec, read_graph(file), spec.layer, library, threads=1)(pixels)


def alike(one: Vectors, other: Vectors) -> str:
    """Return plain cosine, centred cosine and shared neighbours in words."""
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosine, shared = directions_and_neighbours(one, other)
    return f"plain {((one * other).sum(1) / norms).mean():.3f}, {cosine:.3f}, {shared:.2f}"


if __name__ == "__main__":
    main()
