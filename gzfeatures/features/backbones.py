"""BACKBONES: what each name stands for. Data only: no network is loaded here."""

from __future__ import annotations

import dataclasses

from gzfeatures.errors import unknown
from gzfeatures.images.views import View


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network that turns an image into a vector.

    Parameters
    ----------
    name : str
        Name in `BACKBONES`, or of a fine-tuned checkpoint.
    architecture : str
        Constructor in torchvision.models, or a network of this package.
    weights : str, optional
        Where its weights come from: `torchvision:<enum>`, `file:<path>`; None where the user must give `--weights`.
    layer : str
        Default node whose output is the vector.
    dim : int
        Length of that vector.
    view : View
        Pixels it expects.
    mean, std : three floats
        Normalisation of pixels in [0, 1].
    stride_on : {"conv1", "conv2"}
        Which convolution of a bottleneck carries the stride (ResNet v1 weights: conv1; torchvision: conv2).
    licence, source : str
        Of the weights.
    trained_on : str, optional
        Fingerprint of training ids, for networks trained on galaxies.
    """

    name: str
    architecture: str
    weights: str | None
    layer: str
    dim: int
    view: View = View()
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    stride_on: str = "conv2"
    licence: str = ""
    source: str = ""
    trained_on: str | None = None


BACKBONES: dict[str, Backbone] = {}


def backbone(name: str) -> Backbone:
    """Entry of `BACKBONES`; an unknown name lists the legal ones."""
    if name not in BACKBONES:
        raise unknown("backbone", name, BACKBONES)
    return BACKBONES[name]
