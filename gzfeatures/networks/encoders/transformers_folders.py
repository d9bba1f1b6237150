"""Run image models of the library transformers from a folder with configuration and weights."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gzfeatures.errors import InputError, WeightsError, need, parsing
from gzfeatures.features.backbones import Backbone
from gzfeatures.files import join_inside, require_file
from gzfeatures.networks.encoders.pooling import POOLED, joined, pooled, require_layers
from gzfeatures.networks.encoders.view_config import (
    PixelConfig,
    beside,
    read_json,
    unknown_pixels,
)

TENSORS, CONFIG = "model.safetensors", "config.json"
CODE = frozenset(
    {
        *("auto_map", "quantization_config", "custom_pipelines", "kernel_config", "use_kernels"),
        *("attn_implementation", "_attn_implementation", "_attn_implementation_internal"),
        *("experts_implementation", "_experts_implementation", "peft_config"),
    }
)
"""Settings that make transformers run code from the folder or download code."""


def describe(
    kind: str, name: str, weights: Path | None, pixels: PixelConfig | None = None
) -> Backbone:
    """Return the backbone for a folder that transformers wrote (`save_pretrained`).

    Parameters
    ----------
    kind : {"hf"}
    name : str
        Folder with `config.json`, `preprocessor_config.json` and `model.safetensors`.
    weights : Path, optional
        Must be None: the folder has its own weights.
    pixels : PixelConfig, optional
        Size, crop and normalisation of the model's images; by default from a file beside the
        weights.

    Raises
    ------
    MissingExtraError, MissingFileError, InputError
        transformers is not installed; a file is missing; the configuration would run code; the
        model does not take images.
    """
    if weights is not None:
        raise InputError("weights", where=name, rule="be those of the folder", found=weights)
    folder = require_file(name, "folder of transformers")
    if not folder.is_dir():
        raise InputError("folder of transformers", where=folder, rule="be a folder")
    file = require_file(folder / TENSORS, "weights in safetensors")
    join_inside(folder, TENSORS)
    config = read_json(require_file(folder / CONFIG, "configuration"))
    require_no_code(config, folder / CONFIG)
    _require_fewer_layers(config, file, folder / CONFIG)
    pixels = pixels or beside(file)
    if pixels is None:
        raise unknown_pixels(folder)
    model, missing = _model(folder)
    layer = _own_layer(model, missing)
    side = pixels.view.size
    with torch.inference_mode():
        encoder = FolderEncoder(model, layer, name, side).eval()
        dim = int(encoder(torch.zeros(1, 3, side, side)).shape[1])
    return Backbone(
        name=f"{kind}:{folder.name}",
        architecture=f"{kind}:{model.config.model_type}",
        weights=f"file:{file.resolve()}",
        layer=layer,
        dim=dim,
        view=pixels.view,
        mean=pixels.mean,
        std=pixels.std,
        licence="that of the folder",
        source=pixels.origin,
    )


def require_no_code(config: Mapping[str, Any], where: object) -> None:
    """Refuse a configuration with a setting, nested or not, that makes transformers run code.

    Raises
    ------
    InputError
        A setting would run code; the message names this setting.
    """
    for key, value in config.items():
        if key in CODE and value not in (None, False, "", "eager", "sdpa"):
            raise InputError(
                "configuration names code, which is not run",
                where=where,
                rule=f"have no {key}",
                found=str(value),
            )
        for nested in value if isinstance(value, list) else [value]:
            if isinstance(nested, Mapping):
                require_no_code(nested, where)


def _require_fewer_layers(config: Mapping[str, Any], file: Path, where: object) -> None:
    """Refuse a configuration with more layers than stored tensors: building them could take hours.

    Raises
    ------
    InputError
        A setting asks for too many layers, or the weights file cannot be read.
    """
    from safetensors import safe_open

    with parsing("weights cannot be read", file), safe_open(str(file), "pt") as tensors:
        most = len(tensors.keys())
    waiting: list[Mapping[str, Any]] = [config]
    while waiting:
        for key, value in waiting.pop().items():
            waiting += [value] if isinstance(value, Mapping) else []
            numbers = value if isinstance(value, list) else [value]
            if "layer" not in key and "depth" not in key:
                continue
            for number in numbers:
                if isinstance(number, (int, float)) and number > most:
                    raise InputError(
                        "configuration has more layers than the file of weights has tensors",
                        where=where,
                        rule=f"have a {key} of {most} at most",
                        found=number,
                    )


def _model(folder: Path) -> tuple[Any, set[str]]:
    """Load the model in a folder, in eval mode; also return names of tensors its file lacks."""
    transformers = need("transformers", extra="hf")
    with parsing("folder of transformers cannot be read", folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"local_files_only": True, "trust_remote_code": False}
        config = transformers.AutoConfig.from_pretrained(str(folder), **options)
        logging = transformers.logging
        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                model, report = transformers.AutoModel.from_pretrained(
                    str(folder),
                    config=config,
                    use_safetensors=True,
                    output_loading_info=True,
                    dtype=torch.float32,
                    **options,
                )
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
    # a model for images and text, such as CLIP, has an image network inside: use this network
    model = getattr(model, "vision_model", model)
    if getattr(model, "main_input_name", "") != "pixel_values":
        raise InputError(
            "no model of images", where=folder, found=str(config.model_type), rule="take pixels"
        )
    missing = {str(key) for key in report["missing_keys"]}
    lacking = [key for key in sorted(missing) if "pooler" not in key and "head" not in key]
    if lacking or report["mismatched_keys"]:
        raise WeightsError(
            "weights do not fit the configuration",
            where=folder / TENSORS,
            found=", ".join(lacking[:4]) or "another shape",
        )
    return model.eval(), missing


def _has_class_token(model: Any) -> bool:
    names = ("cls_token", "class_embedding")
    return any(name.rpartition(".")[2] in names for name, _ in model.named_parameters())


def _own_layer(model: Any, missing: set[str]) -> str:
    """Return the layer used by default: class token if any, else trained pooler, else mean."""
    if _has_class_token(model):
        return "cls"
    # if the file has no weights for the pooler, transformers fills it with random ones
    has_pooler = getattr(model, "pooler", None) is not None
    return POOLED if has_pooler and not any("pooler" in key for key in missing) else "mean"


def load(spec: Backbone, weights: Path | None, layer: str, size: int) -> nn.Module:
    """Build the encoder of a transformers folder with its weights, in eval mode.

    Raises
    ------
    WeightsError, InputError, UnknownNameError
        The folder changed, or has no such layer.
    """
    if weights is None:
        raise WeightsError("has no random weights", where=spec.name)
    model, missing = _model(weights.parent)
    own = (POOLED,) if _own_layer(model, missing) == POOLED else ()
    require_layers(layer, spec.name, own)
    return FolderEncoder(model, layer, spec.name, spec.view.size, size).eval()


class FolderEncoder(nn.Module):
    """Compute embeddings with a transformers model: pool its last hidden state."""

    def __init__(
        self, model: Any, layer: str, name: str, own_size: int, size: int | None = None
    ) -> None:
        super().__init__()
        self.model, self.layer, self.name = model, layer, name
        registers = int(getattr(model.config, "num_register_tokens", 0) or 0)
        self.prefix = registers + int(_has_class_token(model))
        takes = inspect.signature(model.forward).parameters
        other = size not in (None, own_size) and "interpolate_pos_encoding" in takes
        # position embeddings fit one image size only, so interpolate them for another size
        self.options = {"interpolate_pos_encoding": True} if other else {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return embeddings (n, dim) of normalised images (n, 3, size, size)."""
        output = self.model(pixel_values=images, **self.options)
        return joined(
            self.layer,
            lambda name: (
                output.pooler_output
                if name == POOLED
                else pooled(output.last_hidden_state, name, self.prefix, self.name)
            ),
        )
