"""Measure nuisances on the pixels of images: sharpness, noise, saturation, JPEG quality."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from gzfeatures.audit.probes.nuisance_columns import nuisance_of
from gzfeatures.audit.probes.nuisances import Nuisance
from gzfeatures.errors import InputError, MissingFileError, parsing
from gzfeatures.images.galaxy_files import WholePicture
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.progress import SILENT, Progress, each

QUANTITIES = {
    "sharpness": "share of the light's variation that is finer than three pixels",
    "noise": "scatter from pixel to pixel in the frame's border, in grey levels",
    "saturation": "share of pixels at 255",
    "JPEG quality": "from the quantisation tables of the file",
}
"""What is measured on an image, by the name of the nuisance."""
LUMINANCE = np.array(
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
        14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
        18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
        49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ]
)  # fmt: skip
"""Quantisation of luminance at quality 50 (ITU-T T.81, table K.1)."""
BORDER = 8
"""Side of an image divided by the width of the border where noise is measured."""


@dataclasses.dataclass(frozen=True)
class PixelNumbers:
    """Store sharpness, noise, saturation and JPEG quality of an image; None if unmeasurable."""

    sharpness: float | None
    noise: float | None
    saturation: float | None
    jpeg_quality: int | None

    def by_name(self) -> tuple[float | None, ...]:
        """Return sharpness, noise, saturation and JPEG quality, in the order of `QUANTITIES`."""
        return self.sharpness, self.noise, self.saturation, self.jpeg_quality


def measured(pixels: npt.NDArray[np.uint8], data: bytes = b"") -> PixelNumbers:
    """Measure sharpness, noise, saturation and JPEG quality of an image.

    Parameters
    ----------
    pixels : ndarray of uint8
        Shape (height, width, channels).
    data : bytes
        Its file, for the quantisation tables of a JPEG.

    Notes
    -----
    Noise is Immerkær's estimate (1996, doi:10.1006/cviu.1996.0060, eq. 4) in the border of the
    frame, where a cutout shows sky.
    """
    grey = pixels.astype(np.float64).mean(2)
    height, width = grey.shape
    saturation = float((pixels == 255).any(2).mean())
    if min(height, width) < 8 or not grey.std():
        return PixelNumbers(None, None, saturation, jpeg_quality(data))
    # take a difference of Laplacians: it is 0 where grey values change linearly, so that only noise
    # and edges remain
    fine = (
        grey[:-2, :-2] + grey[2:, :-2] + grey[:-2, 2:] + grey[2:, 2:] + 4 * grey[1:-1, 1:-1]
        - 2 * (grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:])
    )  # fmt: skip
    sky = np.ones(fine.shape, dtype=bool)
    margin = max(1, min(fine.shape) // BORDER)
    sky[margin:-margin, margin:-margin] = False
    # convert to σ: the filter multiplies noise by 6 (the root of its summed squares), and the mean
    # absolute value of normal noise is σ √(2/π)
    noise = float(np.sqrt(np.pi / 2) * np.abs(fine[sky]).mean() / 6)
    sharpness = float(np.log10((fine.std() / 6 + 1e-3) / grey.std()))
    return PixelNumbers(sharpness, noise, saturation, jpeg_quality(data))


def jpeg_quality(data: bytes) -> int | None:
    """Return the quality, 1 to 100, at which libjpeg wrote a JPEG file; None for other files.

    Examples
    --------
    >>> jpeg_quality(b"no picture") is None
    True
    """
    if not data.startswith(b"\xff\xd8"):
        return None
    try:
        with parsing("JPEG header cannot be read", "image"), Image.open(io.BytesIO(data)) as image:
            tables = getattr(image, "quantization", {})
    except InputError:
        return None
    if 0 not in tables or len(tables[0]) != len(LUMINANCE):
        return None
    table = np.asarray(tables[0])
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    # compute the quantisation table of each quality as libjpeg's jpeg_set_quality does; Pillow
    # returns a file's table row by row, like LUMINANCE
    scaled = np.clip((LUMINANCE * scale + 50) // 100, 1, 255)
    distance = np.abs(scaled - table).sum(1)
    # a table that libjpeg wrote agrees in all 64 numbers, tables of other programs differ by far
    # more than 1 per number: a mean difference of 1 separates them
    best = int(distance.argmin())
    return best + 1 if distance[best] <= len(LUMINANCE) else None


def measured_all(images: ImageSet, progress: Progress = SILENT) -> list[PixelNumbers]:
    """Measure sharpness, noise, saturation and JPEG quality of images; None for a broken image."""
    rows = each(range(len(images)), progress, "measuring images", len(images))
    return [_of_image(images, row) for row in rows]


def _of_image(images: ImageSet, row: int) -> PixelNumbers:
    try:
        shown = images.network_input(row, (View(),))
        pixels = shown.pixels if isinstance(shown, WholePicture) else shown[0]
        return measured(pixels, images.read(row))
    except (InputError, MissingFileError):
        return PixelNumbers(None, None, None, None)


def pixel_nuisances(
    images: ImageSet, numbers: Sequence[Sequence[float | None]]
) -> tuple[list[Nuisance], list[tuple[str, str]]]:
    """Return image measures, such as noise, as nuisances; list unusable measures with the reason.

    Parameters
    ----------
    images : ImageSet
    numbers : sequence of sequences
        Measures of each image, in the order of `QUANTITIES`.
    """
    frame = pd.DataFrame(list(numbers), columns=list(QUANTITIES), dtype=np.float64)
    made: list[Nuisance] = []
    left_out = []
    for name, origin in QUANTITIES.items():
        outcome = nuisance_of(name, f"pixels: {origin}", images.ids, frame[name])
        if isinstance(outcome, str):
            left_out.append((name, outcome))
        else:
            made.append(outcome)
    return made, left_out
