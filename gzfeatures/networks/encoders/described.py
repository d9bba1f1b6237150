"""Turn an encoder of another library (timm, ONNX, …) into a backbone, and build its network."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from gzfeatures.errors import InputError, WeightsError
from gzfeatures.features.backbones import Backbone, foreign_kind
from gzfeatures.features.backbones import backbone as backbone_of
from gzfeatures.features.weights import RANDOM, REMEDY, weights_digest, weights_file
from gzfeatures.files import file_state
from gzfeatures.networks.encoders import (
    exported_programs,
    onnx_files,
    timm_models,
    transformers_folders,
)
from gzfeatures.networks.encoders.backbone_table import read_entry
from gzfeatures.networks.encoders.handed_modules import HandedModule
from gzfeatures.networks.encoders.view_config import CONFIGS, PixelConfig

AnyBackbone: TypeAlias = str | Path | Backbone | HandedModule
"""A name, a checkpoint folder, `timm:NAME`, `onnx:FILE`, …, a TOML file, or a Python object."""

_DESCRIBE: dict[str, Callable[[str, str, Path | None, PixelConfig | None], Backbone]] = {
    "timm": timm_models.describe,
    "zoobot": timm_models.describe,
    "hf": transformers_folders.describe,
    "torch": exported_programs.describe,
    "onnx": onnx_files.describe,
}
"""For each kind of encoder, the function that returns a backbone from kind, name and weights."""
_LOAD: dict[str, Callable[[Backbone, Path | None, str, int], nn.Module]] = {
    "timm": timm_models.load,
    "zoobot": timm_models.load,
    "hf": transformers_folders.load,
    "torch": exported_programs.load,
}


def described(
    backbone: AnyBackbone,
    weights: str | Path | None = None,
    pixels: PixelConfig | None = None,
) -> Backbone:
    """Return the backbone that is given by name, checkpoint folder, TOML file or PyTorch module.

    Parameters
    ----------
    backbone : str, Path, Backbone or HandedModule
        As for `backbones.backbone`; and `timm:NAME`, `zoobot:NAME`, `hf:FOLDER`, `torch:FILE.pt2`,
        `onnx:FILE`, or a TOML file with one of them.
    weights : str or Path, optional
        Weights file of `timm:` and `zoobot:`; "none" for seeded random weights.
    pixels : PixelConfig, optional
        Size, crop and normalisation of the encoder's images; by default from a file beside the
        weights.

    Raises
    ------
    UnknownNameError, MissingFileError, MissingExtraError, WeightsError, InputError
        As the module that reads this kind of encoder; nothing is downloaded.
    """
    if isinstance(backbone, HandedModule):
        return backbone.describe()
    text = str(backbone)
    if not isinstance(backbone, Backbone) and text.lower().endswith(".toml"):
        return read_entry(Path(text), described)
    kind = "" if isinstance(backbone, Backbone) else foreign_kind(text)
    if not kind:
        return backbone_of(backbone)
    name = text.partition(":")[2]
    if kind in ("timm", "zoobot") and weights is None:
        # require a file: without one, timm would download weights without asking the user
        raise WeightsError("needs a weights file", where=text, remedy=REMEDY)
    file = None if weights in (None, "none") else weights_file(backbone_of("resnet18"), weights)
    place: Path | None = (
        Path(name) if kind in ("onnx", "torch") else Path(name) / "model.safetensors"
    )
    if kind in ("timm", "zoobot"):
        place = file
    # the cached backbone is valid only while these files are unchanged: include configuration
    # files, which may change the image size while the weights file stays the same
    others = () if place is None else (place.with_name(each) for each in CONFIGS)
    states = (_state(file), _state(place), *map(_state, others))
    return _described(kind, name, file, pixels, states)


def _state(path: Path | None) -> tuple[int, ...] | None:
    """Return size and modification time of a file, to notice changes; None without a file."""
    state = None if path is None else file_state(path)
    return None if state is None else tuple(state)


@functools.lru_cache(maxsize=32)
def _described(
    kind: str, name: str, weights: Path | None, pixels: PixelConfig | None, states: object
) -> Backbone:
    """Return an encoder's backbone; reuse the cached one while its files are unchanged."""
    return _DESCRIBE[kind](kind, name, weights, pixels)


def digest_of(backbone: AnyBackbone, spec: Backbone, weights: str | Path | None = None) -> str:
    """Return a text that identifies an encoder's weights: a hash, or a word for random weights."""
    if isinstance(backbone, HandedModule):
        return backbone.digest
    if spec.kind == "onnx":
        return onnx_files.read_graph(str(spec.weights).partition(":")[2]).digest
    if spec.kind and spec.weights is None:
        return RANDOM
    return weights_digest(spec, weights_file(spec, weights))


def length_of_layer(backbone: AnyBackbone, spec: Backbone, layer: str, size: int) -> int:
    """Measure the length of an encoder's embeddings, for a layer and an image size."""
    import torch

    if spec.kind == "onnx":
        path = onnx_files.require_weights(_own_file(spec), spec)
        other = dataclasses.replace(spec, view=dataclasses.replace(spec.view, size=size))
        return onnx_files.length_of(other, onnx_files.read_graph(path), layer)
    network = encoder_of(backbone, spec, layer, size)
    try:
        with torch.inference_mode():
            return int(network(torch.zeros(2, spec.bands, size, size)).shape[1])
    except (RuntimeError, AssertionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            "encoder does not take images of this size",
            where=spec.name,
            found=f"{size} px: {str(error).partition(chr(10))[0][:120]}",
            remedy=f"its own view has {spec.view.size} px",
        ) from None


def encoder_of(backbone: AnyBackbone, spec: Backbone, layer: str, size: int) -> nn.Module:
    """Build an encoder in eval mode: it maps normalised images to embeddings of shape (n, dim).

    Raises
    ------
    WeightsError, InputError, UnknownNameError
        As the module that reads this kind of encoder.
    """
    if isinstance(backbone, HandedModule):
        return backbone.build()
    return _LOAD[spec.kind](spec, _own_file(spec), layer, size)


def _own_file(spec: Backbone) -> Path | None:
    """Return the path of a backbone's weights file; None if its weights are random."""
    return None if spec.weights is None else Path(spec.weights.partition(":")[2])


def require_settings(backbone: Any, settings: dict[str, str]) -> dict[str, str]:
    """Refuse a device, precision or library that cannot run a backbone; return the settings to use.

    By default, networks of other libraries run at float32, and ONNX files in onnxruntime.

    Raises
    ------
    InputError
        This kind of encoder cannot run with one of the settings.
    """
    kind = kind_of(backbone)
    if not kind:
        if settings["runtime"] == "onnxruntime":
            raise InputError("onnxruntime runs ONNX files alone", where=str(backbone))
        return settings
    runtimes = ("onnxruntime", "openvino") if kind == "onnx" else ("torch",)
    chosen = dict(settings)
    if chosen["precision"] == "auto":
        chosen["precision"] = "float32"
    if chosen["runtime"] == "auto":
        chosen["runtime"] = runtimes[0]
    fixed = kind == "torch" or chosen["runtime"] == "onnxruntime"
    legal = ("float32",) if fixed else ("float32", "bfloat16")
    for name, values in (("runtime", runtimes), ("precision", legal)):
        if chosen[name] not in values:
            raise InputError(
                f"{name} of an encoder of kind {kind}",
                rule=f"be {' or '.join(values)}",
                found=chosen[name],
            )
    if kind == "onnx":
        if chosen["device"] == "cuda":
            raise InputError("ONNX files run on the CPU", where="--device", found="cuda")
        chosen["device"] = "cpu"
    return chosen


def kind_of(backbone: Any) -> str:
    """Return a backbone's library or file type, such as "timm" or "onnx"; "" for built-in ones."""
    if isinstance(backbone, HandedModule):
        return "module"
    if isinstance(backbone, Backbone):
        return backbone.kind
    if str(backbone).lower().endswith(".toml"):
        return described(backbone).kind
    return foreign_kind(str(backbone))
