"""Read the feature maps of a network, and find images that maximise a class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from gzfeatures.errors import InputError
from gzfeatures.networks.models.load import Features

COARSEST = 6
"""Fewest pixels per side with which a feature map still locates something in the image."""


def feature_maps(network: nn.Module, image: torch.Tensor) -> list[tuple[str, nn.Module, int]]:
    """Return name, module and side in px of a network's feature maps, in order of computation."""
    # record only outputs (n, channels, height, width) of more than one pixel per side: others have
    # no position in the image
    records: list[tuple[str, nn.Module, int]] = []

    def watched(name: str, module: nn.Module) -> RemovableHandle:
        def keep(_module: nn.Module, _inputs: object, out: object) -> None:
            if isinstance(out, torch.Tensor) and out.ndim == 4 and min(out.shape[2:]) > 1:
                records.append((name, module, out.shape[2]))

        return module.register_forward_hook(keep)

    hooks = [watched(name, module) for name, module in network.named_modules() if name]
    try:
        with torch.inference_mode():
            network.eval()(image)
    finally:
        for hook in hooks:
            hook.remove()
    if not records:
        raise InputError(
            "network without feature maps",
            rule="have convolutions",
            remedy="use integrated-gradients or occlusion",
        )
    return records


def finest_enough(maps: list[tuple[str, nn.Module, int]]) -> nn.Module:
    """Return the last layer with maps of `COARSEST` px per side or more; if none, the largest."""
    finest = min(COARSEST, max(side for *_, side in maps))
    return [module for _, module, side in maps if side >= finest][-1]


def map_layers(network: nn.Module, image: torch.Tensor) -> list[str]:
    """Return, for each size of feature maps, the name of the last layer; largest maps first.

    Raises
    ------
    InputError
        The network has no maps.
    """
    last = {side: name for name, _, side in feature_maps(network, image)}
    return [last[side] for side in sorted(last, reverse=True)]


def activations(network: nn.Module, images: torch.Tensor, layer: str) -> npt.NDArray[np.float32]:
    """Return the feature maps of a layer, shape (n, channels, height, width).

    Raises
    ------
    UnknownNameError
        The network has no such node.
    InputError
        The node gives no maps.
    """
    with torch.inference_mode():
        (out,) = Features(network.eval(), layer).body(images).values()
    if out.ndim != 4:
        raise InputError(
            "activations",
            where=layer,
            rule="be maps (n, channels, height, width)",
            found=tuple(out.shape),
        )
    return np.asarray(out.float().cpu().numpy())


def dream(
    network: nn.Module,
    target: int,
    shape: tuple[int, int, int],
    *,
    steps: int = 200,
    rate: float = 0.05,
    seed: int = 0,
) -> npt.NDArray[np.float32]:
    """Return an image with the highest score of a class, by gradient ascent on the class's logit.

    Simonyan+2014, arXiv:1312.6034, eq. 1. At every step the image is shifted by a few pixels and
    kept smooth; without this, the result would be noise.

    Parameters
    ----------
    network : nn.Module
        Returns one logit per class.
    target : int
        Number of the class.
    shape : (bands, height, width)
        Shape of the image.
    steps, rate : int, float
        Number of steps and learning rate of the optimizer Adam.
    seed : int
        Seed of the first image and of the shifts.

    Returns
    -------
    ndarray of float32
        Normalised image, of `shape`, each value in [−2.5, 2.5].
    """
    network.eval()
    random = torch.Generator().manual_seed(seed)
    image = (0.1 * torch.randn(1, *shape, generator=random)).requires_grad_()
    adam = torch.optim.Adam([image], lr=rate)
    for _ in range(steps):
        across, down = (int(n) for n in torch.randint(-4, 5, (2,), generator=random))
        logit = network(torch.roll(image, (down, across), (2, 3)))[0, target]
        # Adam minimises: take roughness and brightness, which shall be small, minus the logit,
        # which shall be large
        rough = image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean()
        adam.zero_grad()
        (rough + 0.01 * image.square().mean() - logit).backward()
        adam.step()
        with torch.no_grad():
            image.clamp_(-2.5, 2.5)
    return np.asarray(image.detach()[0].numpy())
