"""Replace pixels of galaxy images by sky, by a blurred image, or from neighbouring pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch.nn import functional

from gzfeatures.errors import unknown

Filling: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Function from images (n, bands, h, w) and a mask of kept pixels (n, 1, h, w) to images."""

BLUR = 8
"""Image side divided by the sigma of the blur; this sigma removes spiral arms and bars."""


def sky_of(images: torch.Tensor) -> torch.Tensor:
    """Return images of empty sky; each band has the median of the image's outermost pixels.

    Parameters
    ----------
    images : Tensor
        Shape (n, bands, height, width).

    Returns
    -------
    Tensor
        Of the same shape, constant in each band of an image.

    Examples
    --------
    >>> image = torch.zeros(1, 1, 4, 4)
    >>> image[0, 0, 1:3, 1:3] = 9.0
    >>> float(sky_of(image).max())
    0.0
    """
    rim = torch.cat([images[:, :, [0, -1]].flatten(2), images[:, :, :, [0, -1]].flatten(2)], dim=2)
    return rim.median(2).values[:, :, None, None].expand_as(images)


def blurred(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blur images with a Gaussian; at the edges, images are continued by reflection.

    Parameters
    ----------
    images : Tensor
        Shape (n, bands, height, width).
    sigma : float
        Standard deviation of the Gaussian, in pixels, > 0.
    """
    reach = min(math.ceil(3 * sigma), *(side - 1 for side in images.shape[2:]))
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    padded = functional.pad(images, (reach, reach, reach, reach), mode="reflect")
    # two one-dimensional blurs, along rows and then columns, equal a two-dimensional Gaussian
    along_rows = functional.conv2d(padded, kernel, groups=images.shape[1])
    return functional.conv2d(along_rows, kernel.transpose(2, 3), groups=images.shape[1])


def _with_sky(images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return mask * images + (1 - mask) * sky_of(images)


def _with_blur(images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return mask * images + (1 - mask) * blurred(images, min(images.shape[2:]) / BLUR)


def inpainted(images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Fill removed pixels smoothly from the kept pixels around them, and from sky at the edge.

    Push-pull interpolation (Gortler+1996, doi:10.1145/237170.237200, sect. 3.4): the image is
    averaged over squares of 2, 4, 8 … pixels, and a removed pixel gets the average of the smallest
    square with kept pixels.

    Parameters
    ----------
    images : Tensor
        Shape (n, bands, height, width).
    mask : Tensor
        Shape (n, 1, height, width), the kept share of each pixel, in [0, 1].

    Returns
    -------
    Tensor
        Shape of the images; differentiable in `mask`.
    """
    # set removed pixels at the image's edge to sky: else the brightness of the galaxy's core would
    # spread to the edge
    rim = torch.zeros_like(mask)
    rim[:, :, [0, -1], :] = rim[:, :, :, [0, -1]] = 1.0
    at_rim = rim * (1 - mask)
    weight = mask + at_rim
    level = mask * images + at_rim * sky_of(images)
    pyramid = [(level, weight)]
    while min(level.shape[2:]) > 1:
        level = functional.avg_pool2d(level, 2, ceil_mode=True)
        mean = functional.avg_pool2d(weight, 2, ceil_mode=True)
        # each pixel of the halved image covers four pixels, and is known if one of them is: its
        # weight is the sum of the four weights, at most 1 (eq. 7 of Gortler+1996)
        weight = (4 * mean).clamp(max=1.0)
        level = level * weight / mean.clamp(min=1e-6)
        pyramid.append((level, weight))
    filled = pyramid[-1][0]
    # fill unknown pixels from the next coarser level, beginning with the coarsest
    for level, weight in reversed(pyramid[:-1]):
        size = (level.shape[2], level.shape[3])
        coarse = functional.interpolate(filled, size, mode="bilinear", align_corners=False)
        filled = level + (1 - weight) * coarse
    return mask * images + (1 - mask) * filled


FILLINGS: dict[str, Filling] = {"sky": _with_sky, "blur": _with_blur, "inpainted": inpainted}


def filled(images: torch.Tensor, mask: torch.Tensor, filling: str) -> torch.Tensor:
    """Replace image pixels outside a mask by sky, by blur, or by values from kept neighbours.

    Parameters
    ----------
    images : Tensor
        Shape (n, bands, height, width).
    mask : Tensor
        Shape (n, 1, height, width), the kept share of each pixel, in [0, 1].
    filling : {"sky", "blur", "inpainted"}
        `sky_of` the image; the image blurred by an eighth of its side; or `inpainted`.

    Raises
    ------
    UnknownNameError
        No such filling.
    """
    if filling not in FILLINGS:
        raise unknown("filling of removed pixels", filling, tuple(FILLINGS))
    return FILLINGS[filling](images, mask)
