"""Crop and resize decoded images to the pixels that a network gets, on the CPU or GPU.

A GPU resamples by two matrix products with the weights of Pillow's filter, rounded to 8 bits after
each as in Pillow. A CPU resamples with torch, in a quarter of Pillow's time. In both cases pixels
differ from those of `View.apply` by at most 1 of 255.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from gzfeatures.images.galaxy_files import NetworkInput, WholePicture
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View

LUMINANCE = (19595, 38470, 7471)
"""Weights of red, green and blue in a grey value, in units of 1/65536 (ITU-R 601, as in Pillow)."""


def to_views(
    images: ImageSet,
    row: int,
    views: Sequence[View],
    *,
    digest: str | None = None,
    noted: Callable[[str], None] | None = None,
) -> tuple[npt.NDArray[np.uint8], ...]:
    """Decode one image; return its pixels cropped and resized for each view (crop and size).

    Other parameters as in `ImageSet.network_input`.
    """
    return views_of_input(images.network_input(row, views, digest=digest, noted=noted), views)


def views_of_input(image: NetworkInput, views: Sequence[View]) -> tuple[npt.NDArray[np.uint8], ...]:
    """Crop and resize a whole picture for each view; return an input already cropped unchanged."""
    return (
        tuple(map(_view, [image.pixels] * len(views), views, image.crops))
        if isinstance(image, WholePicture)
        else image
    )


def _view(pixels: npt.NDArray[np.uint8], view: View, crop: float) -> npt.NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    if view.grey or crop < 1 or height != width or height == view.size:
        return dataclasses.replace(view, crop=crop).apply(pixels)
    picture = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    resized = functional.interpolate(
        picture, size=(view.size, view.size), mode=view.interpolation, antialias=True
    )
    return np.asarray(resized[0].permute(1, 2, 0).numpy())


def batch_views(
    images: Sequence[NetworkInput], views: Sequence[View], device: torch.device
) -> list[torch.Tensor]:
    """Move images to a CPU or GPU, and return their pixels cropped and resized for each view.

    Each result is uint8, of shape (n, size, size, bands).

    Parameters
    ----------
    images : sequence of WholePicture, or of pixels already cropped for each view
        Pictures of any sizes; pictures of equal size are copied and resampled together.
    views : sequence of View
        Size and colours of each result, and the crop, which a WholePicture replaces by its own.
    device : torch.device
    """
    groups: dict[object, list[int]] = {}
    for number, image in enumerate(images):
        key = (image.pixels.shape, image.crops) if isinstance(image, WholePicture) else None
        groups.setdefault(key, []).append(number)
    parts = [
        _alike([images[number] for number in numbers], views, device) for numbers in groups.values()
    ]
    if len(parts) == 1:
        return parts[0]
    # images were grouped by size, so restore their original order
    order = torch.tensor(
        [number for numbers in groups.values() for number in numbers], device=device
    ).argsort()
    return [torch.cat(part)[order] for part in zip(*parts, strict=True)]


def _alike(
    images: Sequence[NetworkInput], views: Sequence[View], device: torch.device
) -> list[torch.Tensor]:
    """Crop and resize images of equal size for each view (crop, size); return a tensor per view."""
    frames = [image for image in images if isinstance(image, WholePicture)]
    if not frames:
        return [_moved(np.stack(pixels), device) for pixels in zip(*images, strict=True)]
    pictures = _moved(np.stack([frame.pixels for frame in frames]), device)
    return [
        _resized(_grey(pictures) if view.grey else pictures, crop, view)
        for view, crop in zip(views, frames[0].crops, strict=True)
    ]


def _moved(pixels: npt.NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    tensor = torch.from_numpy(pixels)
    # copying from pinned memory does not block: another worker can compute during the copy
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def _grey(pictures: torch.Tensor) -> torch.Tensor:
    shares = torch.tensor(LUMINANCE, dtype=torch.int32, device=pictures.device)
    grey = ((pictures.int() * shares).sum(3, keepdim=True) + 0x8000) >> 16
    return grey.to(torch.uint8).expand(-1, -1, -1, 3)


def _resized(pictures: torch.Tensor, crop: float, view: View) -> torch.Tensor:
    (height, width), size = pictures.shape[1:3], view.size
    if (height, width) == (size, size) and crop == 1:
        return pictures
    side = crop * min(height, width)
    across, down = (
        _weights(length, side, size, view.interpolation).to(pictures.device)
        for length in (width, height)
    )
    # round to 8 bits after each axis, because Pillow does, and the pixels should equal Pillow's
    narrow = torch.einsum("nhwc,sw->nhsc", pictures.float(), across).round().clamp(0, 255)
    return torch.einsum("nhsc,th->ntsc", narrow, down).round().clamp(0, 255).to(torch.uint8)


def _weights(length: int, side: float, size: int, interpolation: str) -> torch.Tensor:
    """Return the weight of each input pixel in each output pixel, shape (size, length)."""
    # when the image shrinks, widen the filter by the same factor, as Pillow does: a narrow filter
    # would skip input pixels
    scale = side / size
    support = max(scale, 1.0)
    centres = (length - side) / 2 + (torch.arange(size, dtype=torch.float64) + 0.5) * scale
    distance = (torch.arange(length, dtype=torch.float64) + 0.5 - centres[:, None]).abs() / support
    shares = (1 - distance).clamp(0) if interpolation == "bilinear" else _cubic(distance)
    return (shares / shares.sum(1, keepdim=True)).float()


def _cubic(x: torch.Tensor) -> torch.Tensor:
    """Return the cubic filter at a distance (Keys 1981, doi:10.1109/TASSP.1981.1163711, a = -½)."""
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def dihedral_views(images: torch.Tensor) -> list[torch.Tensor]:
    """Return the 8 turned and mirrored copies of a batch, each (n, bands, side, side)."""
    return [
        torch.rot90(image, turns, (2, 3))
        for image in (images, torch.flip(images, (3,)))
        for turns in range(4)
    ]
