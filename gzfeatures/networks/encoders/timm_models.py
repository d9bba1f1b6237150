"""Build timm's models with weights from a local file; nothing is downloaded."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gzfeatures.errors import InputError, WeightsError, need, unknown
from gzfeatures.features.backbones import Backbone
from gzfeatures.images.view import View
from gzfeatures.networks.encoders.pooling import POOLED, joined, pooled, require_layers
from gzfeatures.networks.encoders.view_config import PixelConfig, beside, of_timm
from gzfeatures.networks.models.load import read_tensors

ZOOBOT = PixelConfig(View(size=224, crop=1 / 1.2), (0.0,) * 3, (1.0,) * 3, "as zoobot's inference")
"""Crop and normalisation of zoobot's encoders: the middle 1/1.2 of the image, values in [0, 1]."""
PREFIX = "encoder."
"""Prefix of the names of an encoder's tensors in a checkpoint of zoobot."""


def describe(
    kind: str, name: str, weights: Path | None, pixels: PixelConfig | None = None
) -> Backbone:
    """Return a timm model as a backbone: name, crop, image size, normalisation, embedding length.

    Parameters
    ----------
    kind : {"timm", "zoobot"}
        For zoobot, size and crop of images are those of zoobot's own predictions.
    name : str
        Name of a model, with or without the tag of its weights: `resnet50`, `resnet50.tv_in1k`. If
        no file beside the weights states size, crop, interpolation and normalisation, they are
        those of the tag.
    weights : Path, optional
        Weights file; None for seeded random weights.
    pixels : PixelConfig, optional
        Size, crop and normalisation of the model's images; by default from a file beside the
        weights.

    Raises
    ------
    MissingExtraError, UnknownNameError, InputError
        timm is not installed, has no such model or tag, or states an unsupported configuration.
    """
    config = _config(name)
    if pixels is None and kind == "zoobot":
        pixels = ZOOBOT
    if pixels is None and weights is not None:
        pixels = beside(weights)
    if pixels is None:
        pixels = of_timm(config, f"timm's table, {config['tagged']}")
    spec = Backbone(
        name=f"{kind}:{name}",
        architecture=f"{kind}:{config['architecture']}",
        weights=None if weights is None else f"file:{weights}",
        layer=POOLED,
        dim=1,
        view=pixels.view,
        mean=pixels.mean,
        std=pixels.std,
        licence="that of the weights file",
        source=pixels.origin,
    )
    return dataclasses.replace(spec, dim=_length(spec))


def _config(name: str) -> dict[str, Any]:
    """Return timm's configuration of a model: image size, mean, architecture and weights tag."""
    timm = need("timm", extra="timm")
    architecture, _, tag = name.partition(".")
    known = timm.list_models()
    # accept only names in timm's list: for names that begin with hf-hub: or local-dir:, timm would
    # download files or run code
    if architecture not in known:
        raise unknown_model(name, known)
    tags = timm.models.list_pretrained(f"{architecture}.*")
    if tag and name not in tags:
        raise unknown("tag of a timm model", name, tags or ["none"])
    entry = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    if entry is None:
        raise InputError("timm has no configuration of this model", where=name)
    tagged = name if tag or not entry.tag else f"{architecture}.{entry.tag}"
    return {**entry.to_dict(), "architecture": architecture, "tagged": tagged}


def unknown_model(name: str, known: list[str]) -> InputError:
    """Return the error for a name that is no timm model; the error suggests similar names."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=4, cutoff=0.5)
    return InputError(
        "unknown model",
        where="timm",
        rule="be a name of timm.list_models()",
        found=name,
        remedy=f"nearest are {', '.join(close)}" if close else None,
    )


def _length(spec: Backbone) -> int:
    """Compute the embedding length of a timm model from tensor shapes alone, without weights."""
    with torch.device("meta"), torch.inference_mode():
        encoder = TimmEncoder(_model(spec, None), POOLED, spec.name).eval()
        side = spec.view.size
        return int(encoder(torch.empty(2, 3, side, side)).shape[1])


def _model(spec: Backbone, size: int | None) -> Any:
    """Build a timm model without its classifier, in eval mode."""
    timm = need("timm", extra="timm")
    name = spec.architecture.partition(":")[2]
    if size in (None, spec.view.size):
        return timm.create_model(name, pretrained=False, num_classes=0).eval()
    try:
        # let the position embeddings of a transformer be interpolated: they were trained for one
        # image size only
        return timm.create_model(
            name, pretrained=False, num_classes=0, dynamic_img_size=True
        ).eval()
    except TypeError:
        # convolutional networks refuse `dynamic_img_size`, and work at any image size without it
        return timm.create_model(name, pretrained=False, num_classes=0).eval()


def load(spec: Backbone, weights: Path | None, layer: str, size: int) -> nn.Module:
    """Build the encoder of a timm model with its weights, in eval mode.

    Raises
    ------
    WeightsError
        The weights file is damaged, could run code, or belongs to another model.
    UnknownNameError
        Unknown layer.
    """
    require_layers(layer, spec.name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _model(spec, size)
    if weights is not None:
        state = _without_classifier(read_tensors(weights), spec)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(
                f"weights do not fit {spec.architecture}",
                where=weights,
                found=" ".join(str(error).split()[:40]),
            ) from None
    return TimmEncoder(model, layer, spec.name).eval()


def _without_classifier(state: dict[str, torch.Tensor], spec: Backbone) -> dict[str, torch.Tensor]:
    """Return a file's tensors without those of the classifier, and without zoobot's name prefix."""
    name = spec.architecture.partition(":")[2]
    if any(key.startswith(PREFIX) for key in state):
        state = {
            key.removeprefix(PREFIX): value
            for key, value in state.items()
            if key.startswith(PREFIX)
        }
    classifier = _config(name).get("classifier") or ()
    parts = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    heads = tuple(f"{part}." for part in parts)
    return {key: value for key, value in state.items() if not (heads and key.startswith(heads))}


class TimmEncoder(nn.Module):
    """Compute embeddings of a timm model: classifier input, class token or mean feature vector."""

    def __init__(self, model: Any, layer: str, name: str) -> None:
        super().__init__()
        self.model, self.layer, self.name = model, layer, name

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return embeddings (n, dim) of normalised images (n, 3, size, size)."""
        features = self.model.forward_features(images)
        return joined(self.layer, lambda name: self._vectors(features, name))

    def _vectors(self, features: torch.Tensor, name: str) -> torch.Tensor:
        if name == POOLED:
            # use the classifier's input: in mobilenetv3 a further layer lies between the
            # average pooling and the classifier
            vectors: torch.Tensor = self.model.forward_head(features, pre_logits=True)
            return vectors
        # some transformers return maps as (n, height, width, dim), but the pooling expects channels
        # first
        if features.ndim == 4 and str(getattr(self.model, "output_fmt", "NCHW")).endswith("NHWC"):
            features = features.permute(0, 3, 1, 2)
        prefix = int(getattr(self.model, "num_prefix_tokens", 0))
        return pooled(features, name, prefix, self.name)
