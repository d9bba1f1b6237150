"""Make random copies of training images: rotated, shifted, zoomed, recoloured, mixed.

Copies are made on the device (CPU or GPU), for training only: images to predict never change at
random. All random numbers come from `draws`: one row of uniform numbers for each position in an
epoch's order, computed from seed and epoch. A copy therefore does not depend on its batch, or on
how many processes share the epoch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from gzfeatures.errors import InputError, require_known

DRAWS = 10
"""Number of random numbers per copy: flip, turns, angle, shifts, zoom, colours, and mixing."""


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Set the ranges of the random changes of training images: rotation, shift, zoom, colours.

    The pixels come from a square around the view, the frame, that is `margin` times wider. A
    turned, shifted or zoomed-out copy that would reach beyond the frame is zoomed in until it fits:
    no corner is ever empty or made up. Without a margin, galaxies therefore appear larger in
    training than in prediction; a view of at most 0.7 of the image's side leaves enough margin.

    Parameters
    ----------
    dihedral : bool
        Mirror images and quarter turns, the 8 symmetries of the square.
    rotation : float
        Largest free rotation in degrees, 0…180, in both directions.
    shift : float
        Largest shift along each axis, as a share of the view's side.
    zoom : (float, float)
        Smallest and largest magnification, drawn evenly in its logarithm.
    brightness, contrast, saturation : float
        Largest relative change, 0…1; saturation is the distance of the bands from their mean.
    margin : float, optional
        Side of the frame over the side of the view, ≥ 1; √2 leaves room for every rotation.
        Default: as large as the images allow, at most √2.

    Raises
    ------
    InputError
        A value is outside its range.
    """

    dihedral: bool = True
    rotation: float = 180.0
    shift: float = 0.04
    zoom: tuple[float, float] = (0.9, 1.15)
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1
    margin: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "zoom", tuple(self.zoom) if isinstance(self.zoom, Sequence) else (self.zoom,)
        )
        ranges = {
            "rotation": (0.0, 180.0),
            "shift": (0.0, 0.5),
            "brightness": (0.0, 1.0),
            "contrast": (0.0, 1.0),
            "saturation": (0.0, 1.0),
            "margin": (1.0, 4.0),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if name == "margin" and value is None:
                continue
            if not isinstance(value, (int, float)) or not low <= value <= high:
                raise InputError(
                    f"augmentation {name}", rule=f"be a number in {low:g}…{high:g}", found=value
                )
        if len(self.zoom) != 2 or not 0.1 <= self.zoom[0] <= self.zoom[1] <= 10:
            raise InputError(
                "augmentation zoom",
                rule="be (low, high) with 0.1 ≤ low ≤ high ≤ 10",
                found=self.zoom,
            )

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Augmentation:
        """Build an augmentation from parameter names and values; refuse an unknown name."""
        require_known("augmentation", fields, [field.name for field in dataclasses.fields(cls)])
        return cls(**fields)

    @classmethod
    def none(cls) -> Augmentation:
        """Return the augmentation that changes nothing."""
        return cls(False, 0.0, 0.0, (1.0, 1.0), 0.0, 0.0, 0.0)

    def apply(self, images: torch.Tensor, uniforms: torch.Tensor, size: int) -> torch.Tensor:
        """Return one random copy of each training image: turned, shifted, zoomed and recoloured.

        Parameters
        ----------
        images : Tensor
            Float, shape (n, bands, side, side), values in [0, 1].
        uniforms : Tensor
            Float, shape (n, DRAWS), in [0, 1): rows of `draws`.
        size : int
            Side of the copies in px.

        Returns
        -------
        Tensor
            Shape (n, bands, size, size), values in [0, 1].
        """
        u = uniforms.unbind(1)
        # repeat the edge pixels where a copy reaches half a pixel beyond the image: no dark border
        copies = functional.grid_sample(
            images, self._grid(u, size), "bilinear", "border", align_corners=False
        )
        return self._coloured(copies, u)

    def _grid(self, u: tuple[torch.Tensor, ...], size: int) -> torch.Tensor:
        """Return the position in the original image (−1…1) of each pixel of the random copies.

        Returns
        -------
        Tensor
            Shape (n, size, size, 2), x then y.
        """
        mirror = torch.where((u[0] < 0.5) & self.dihedral, -1.0, 1.0)
        quarters = torch.floor(u[1] * 4) * (math.pi / 2) * self.dihedral
        angle = quarters + math.radians(self.rotation) * (2 * u[2] - 1)
        cos, sin = torch.cos(angle), torch.sin(angle)
        low, high = (math.log(z) for z in self.zoom)
        # `half` is half the side of the copied square; 1 is half the side of the network's image
        half = torch.exp(-(low + (high - low) * u[5]))
        # a square rotated by θ reaches |cos θ| + |sin θ| half sides: make it smaller until it fits
        # into the training image
        reach = cos.abs() + sin.abs()
        margin = self.margin or 1.0
        half = torch.minimum(half, margin / reach)
        # shift the rotated square by no more than the space left around it in the training image
        room = margin - half * reach
        left, top = (
            (2 * self.shift * (2 * v - 1)).clamp(-room, room) / margin for v in (u[3], u[4])
        )
        scale = half / margin
        side = (torch.arange(size, device=angle.device) + 0.5) * (2 / size) - 1
        across, down = side.view(1, 1, -1), side.view(1, -1, 1)
        # combine rotation, scale and mirror in one affine map per copy, to interpolate pixels only
        # once
        cos, sin, mirror, left, top = (
            v.view(-1, 1, 1) for v in (scale * cos, scale * sin, mirror, left, top)
        )
        return torch.stack(
            [
                cos * mirror * across + (left - sin * down),
                sin * mirror * across + (top + cos * down),
            ],
            3,
        )

    def _coloured(self, copies: torch.Tensor, u: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Change saturation, contrast and brightness by a matrix over the bands, plus an offset."""
        if not (self.brightness or self.contrast or self.saturation):
            return copies
        bands = copies.shape[1]
        gain, spread, colour = (
            (1 + share * (2 * v - 1)).view(-1, 1, 1)
            for share, v in (
                (self.brightness, u[6]),
                (self.contrast, u[7]),
                (self.saturation, u[8]),
            )
        )
        same = torch.eye(bands, device=copies.device)
        matrix = gain * spread * (colour * same + (1 - colour) / bands)
        flat = copies.flatten(2)
        offset = gain * (1 - spread) * flat.mean((1, 2)).view(-1, 1, 1)
        return torch.baddbmm(offset, matrix, flat).clamp_(0, 1).view_as(copies)


def draws(rows: int, seed: int, epoch: int) -> torch.Tensor:
    """Return the random numbers that decide how each galaxy's image changes in one epoch.

    Returns
    -------
    Tensor
        Float32, shape (rows, DRAWS), in [0, 1); row r is the same however many rows follow it.
    """
    # Philox computes each number from its position: a galaxy's numbers do not depend on how many
    # galaxies follow
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch])))
    return torch.from_numpy(generator.random((rows, DRAWS), dtype=np.float32))


def mixed(
    images: torch.Tensor,
    targets: torch.Tensor,
    uniforms: torch.Tensor,
    *,
    mixup: float,
    cutmix: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix the image and the label of each galaxy of a batch with those of the next galaxy.

    Mixup blends whole images (Zhang+2018, arXiv:1710.09412, eq. 1), CutMix pastes a square
    (Yun+2019, arXiv:1905.04899, eq. 1); where both are given, a coin decides per batch. λ ~ Beta(α,
    α) is drawn per batch.

    Parameters
    ----------
    images : Tensor
        Shape (n, bands, side, side).
    targets : Tensor
        Float, shape (n, k): shares of classes, NaN where unknown; two galaxies with different
        unknown columns are not mixed.
    uniforms : Tensor
        Rows of `draws`, shape (n, DRAWS); they seed the batch's own draws.
    mixup, cutmix : float
        α of the Beta distribution; 0 switches it off.

    Returns
    -------
    (Tensor, Tensor)
        Images and targets, new.
    """
    if not mixup and not cutmix:
        return images, targets
    # seed with the batch's own random numbers, which are the same in every rerun
    generator = np.random.default_rng([int(u * 2**24) for u in uniforms[0, :3].tolist()])
    cut = bool(cutmix) and (not mixup or generator.random() < 0.5)
    alpha = cutmix if cut else mixup
    share = float(generator.beta(alpha, alpha))
    partner, partner_targets = images.roll(1, 0), targets.roll(1, 0)
    if cut:
        side = images.shape[-1]
        edge = round(side * math.sqrt(1 - share))
        top, left = (int(v) for v in generator.integers(0, side - edge + 1, 2))
        pictures = images.clone()
        pictures[:, :, top : top + edge, left : left + edge] = partner[
            :, :, top : top + edge, left : left + edge
        ]
        # the pasted square has whole pixels: recompute λ, the share of the image left as it was
        share = 1 - (edge / side) ** 2
    else:
        pictures = share * images + (1 - share) * partner
    # where a label is unknown (NaN) for only one galaxy of a pair, the mixture's label would be
    # unknown too: leave such a pair unmixed
    alike = (torch.isnan(targets) == torch.isnan(partner_targets)).all(1)
    pictures = torch.where(alike.view(-1, 1, 1, 1), pictures, images)
    blend = share * targets + (1 - share) * partner_targets
    return pictures, torch.where(alike.view(-1, 1), blend, targets)
