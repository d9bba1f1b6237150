"""Explanations that were tried in `explanations.py`, and that the package has no part of.

`combined` is above brightness and the Gaussian in all three fillings, but seems to follow the
light: in the network of `tests/claims`, which knows galaxies by a planted mark, it finds .17 of the
marks, and its map has a rank correlation of .63 with that of a network with random weights
(Adebayo+2018, arXiv:1810.03292).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from gzfeatures.networks.saliency.faithfulness import ClassProbabilities, baseline
from gzfeatures.networks.saliency.fillings import filled, sky_of

Maps: TypeAlias = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Images to explain, shape (n, bands, side, side), their classes, and the explained network.

    `maps_of` gives the maps of these images by a method of the package.
    """

    network: nn.Module
    probabilities: ClassProbabilities
    images: torch.Tensor
    codes: Sequence[int]
    maps_of: Callable[[str], Maps]


FINE_LAYERS = ("conv3", "inception3b")
"""Of GoogLeNet: a quarter and an eighth of the image's side."""
AREAS = (0.04, 0.12, 0.3)


def occlusion_times_brightness(block: Block) -> Maps:
    """What the class loses under a square, weighted by the brightness above the sky."""
    lost = block.maps_of("occlusion")
    lost = lost - lost.min((1, 2), keepdims=True)
    above = baseline(block.images, "brightness") - baseline(sky_of(block.images), "brightness")
    return np.asarray(lost * np.clip(above, 0, None))


def layer_cam(network: nn.Module, image: torch.Tensor, code: int) -> torch.Tensor:
    """LayerCAM (Jiang+2021, doi:10.1109/TIP.2021.3089943, eq. 4) of two fine layers, shape (h, w).

    Mean over the 8 symmetries of the square; each layer has a maximum of 1.
    """
    modules, outputs = dict(network.named_modules()), dict[str, torch.Tensor]()
    hooks = [
        modules[name].register_forward_hook(
            lambda _m, _i, out, name=name: outputs.update({name: out})
        )
        for name in FINE_LAYERS
    ]
    views = [torch.rot90(view, k, (2, 3)) for view in (image, image.flip(3)) for k in range(4)]
    scores = network(torch.cat(views).clone().requires_grad_())[:, code]
    for hook in hooks:
        hook.remove()
    total = torch.zeros(image.shape[2:])
    active = [outputs[name] for name in FINE_LAYERS]
    for slope, maps in zip(torch.autograd.grad(scores.sum(), active), active, strict=True):
        cam = (slope.float().clamp(min=0) * maps.detach().float()).sum(1, keepdim=True)
        size = (image.shape[2], image.shape[3])
        large = functional.interpolate(cam, size, mode="bilinear", align_corners=False)[:, 0]
        back = [torch.rot90(one, -(k % 4)) for k, one in enumerate(large)]
        mean = torch.stack([*back[:4], *(one.flip(1) for one in back[4:])]).mean(0)
        total += mean / mean.max().clamp(min=1e-12)
    return total


def combined(block: Block) -> Maps:
    """LayerCAM of two fine layers plus what the class loses under a square, each up to 1."""
    lost = np.clip(block.maps_of("occlusion"), 0, None)
    lost /= np.maximum(lost.max((1, 2), keepdims=True), 1e-12)
    cams = [
        layer_cam(block.network, block.images[row : row + 1], code)
        for row, code in enumerate(block.codes)
    ]
    return np.asarray(lost + torch.stack(cams).numpy())


def rise(block: Block) -> Maps:
    """Covariance of the probability with 300 blurred masks by chance (Petsiuk+2018, eq. 6)."""
    side, cells = block.images.shape[2], 8
    random = np.random.default_rng(0)
    grid = torch.from_numpy(
        (random.random((300, 1, cells + 1, cells + 1)) < 0.5).astype(np.float32)
    )
    step = -(-side // cells)
    large = functional.interpolate(grid, (cells + 1) * step, mode="bilinear", align_corners=False)
    offsets = random.integers(0, step, (300, 2))
    mask = torch.stack(
        [one[:, y : y + side, x : x + side] for one, (y, x) in zip(large, offsets, strict=True)]
    )
    maps = []
    for row, code in enumerate(block.codes):
        image = block.images[row : row + 1]
        with torch.no_grad():
            chance = torch.cat(
                [
                    block.probabilities(filled(image.expand(len(part), -1, -1, -1), part, "sky"))[
                        :, code
                    ]
                    for part in mask.split(64)
                ]
            )
        centred = (chance - chance.mean())[:, None, None] * (mask - mask.mean(0))[:, 0]
        maps.append(centred.mean(0).numpy())
    return np.stack(maps)


def extremal(block: Block) -> Maps:
    """A score of pixels, improved by gradient ascent of insertion − deletion itself.

    Masks of fixed areas (Fong+2019, arXiv:1910.08485, eq. 2) that do for keeping and removing
    (Khorram+2021, arXiv:2012.15783, eq. 5), 24 steps of Adam from equal pixels.
    """
    size = (block.images.shape[2], block.images.shape[3])

    def spread(score: torch.Tensor) -> torch.Tensor:
        fine = functional.interpolate(score, size, mode="bicubic", align_corners=False)
        return (fine - fine.mean()) / (fine.var() + 1e-4).sqrt()

    maps = []
    for row, code in enumerate(block.codes):
        image = block.images[row : row + 1].expand(len(AREAS), -1, -1, -1)
        score = torch.zeros(1, 1, size[0] // 4, size[1] // 4, requires_grad=True)
        adam = torch.optim.Adam([score], lr=0.15)
        for step in range(24):
            fine = spread(score)
            edges = torch.quantile(fine.detach().flatten(), 1 - torch.tensor(AREAS))
            mask = torch.sigmoid((fine - edges[:, None, None, None]) / 0.25)
            filling = ("sky", "blur")[step % 2]
            both = torch.cat([filled(image, mask, filling), filled(image, 1 - mask, filling)])
            inserted, deleted = block.probabilities(both)[:, code].chunk(2)
            rough = score.diff(dim=2).square().mean() + score.diff(dim=3).square().mean()
            loss = deleted.mean() - inserted.mean() + 0.02 * rough
            (score.grad,) = torch.autograd.grad(loss, score)
            adam.step()
        maps.append(spread(score)[0, 0].detach().numpy())
    return np.stack(maps)


TRIED: dict[str, Callable[[Block], Maps]] = {
    "combined": combined,
    "occlusion×brightness": occlusion_times_brightness,
    "rise": rise,
    "extremal": extremal,
}
