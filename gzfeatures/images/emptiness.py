"""Find images that show no galaxy: one colour everywhere, or mostly bad pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from gzfeatures.images.decoding.bands import Bands

MOSTLY = 0.5
"""Share of bad pixels of a band above which an image shows no galaxy."""
STEP = 16
"""Step between the pixels that are compared before all, because nearly all pictures differ here."""


def flat_colour(pixels: npt.NDArray[np.uint8]) -> tuple[int, ...] | None:
    """Return the colour that all pixels of a picture share; None if the pixels differ.

    Parameters
    ----------
    pixels : ndarray of uint8
        Shape (height, width) or (height, width, channels).

    Examples
    --------
    >>> flat_colour(np.full((40, 40, 3), 7, dtype=np.uint8))
    (7, 7, 7)
    """
    first = pixels[0, 0]
    # compare few pixels first: they mostly differ already (the galaxy's centre from the corner),
    # and comparing all pixels takes a tenth of the decoding time
    if (pixels[len(pixels) // 2, pixels.shape[1] // 2] != first).any():
        return None
    if (pixels[::STEP, ::STEP] != first).any() or (pixels != first).any():
        return None
    return tuple(int(value) for value in np.atleast_1d(first))


def of_picture(pixels: npt.NDArray[np.uint8]) -> str | None:
    """Return why a picture shows no galaxy (all pixels are equal); None if its pixels differ.

    Parameters
    ----------
    pixels : ndarray of uint8
        Shape (height, width) or (height, width, channels).

    Examples
    --------
    >>> of_picture(np.zeros((40, 40, 3), dtype=np.uint8))
    'image is blank: every pixel is [0, 0, 0]'
    """
    colour = flat_colour(pixels)
    if colour is None:
        return None
    kind = "blank"
    if min(colour) == np.iinfo(pixels.dtype).max:
        kind = "saturated"
    elif len(set(colour)) > 1:
        kind = "of a single colour"
    value = pixels[0, 0].tolist()
    return f"image is {kind}: every pixel is {value}"


def of_bands(bands: Bands) -> str | None:
    """Return why an image in bands shows no galaxy (blank or bad pixels); None if it may show one.

    Empty margins of a band that was shifted onto the grid of a different band do not count as bad.
    """
    return "; ".join(bands.faults(MOSTLY)) or None
