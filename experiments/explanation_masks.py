"""Explanations that were tried in `explanations.py`, and that the package has no part of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from gzfeatures.networks.saliency.attribution import saliency
from gzfeatures.networks.saliency.faithfulness import ClassProbabilities, baseline
from gzfeatures.networks.saliency.fillings import sky_of

Maps: TypeAlias = npt.NDArray[np.float32]
Tried: TypeAlias = Callable[[nn.Module, ClassProbabilities, torch.Tensor, Sequence[int]], Maps]


def occlusion_times_brightness(
    network: nn.Module,
    _probabilities: ClassProbabilities,
    images: torch.Tensor,
    codes: Sequence[int],
) -> Maps:
    """What the class loses under a square, weighted by the brightness above the sky."""
    lost = saliency(network, images, codes, method="occlusion")
    lost -= lost.min((1, 2), keepdims=True)
    above = baseline(images, "brightness") - baseline(sky_of(images), "brightness")
    return np.asarray(lost * np.clip(above, 0, None))


TRIED: dict[str, Tried] = {"occlusion×brightness": occlusion_times_brightness}
