"""Convert pixel values of any number type to 256 grey levels."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, unknown
from gzfeatures.images.decoding.stretches import STRETCHES

FEWEST = 32
"""Number of grey levels below which an image has probably lost its contrast."""

FLAGS = "--stretch NAME or --range LOW HIGH"


@dataclasses.dataclass(frozen=True)
class Levels:
    """Define how pixel values become grey levels: by black and white values, or by a stretch.

    Parameters
    ----------
    range : two floats, optional
        Value that becomes black and value that becomes white, the same for all images.
    stretch : str, optional
        Name of a stretch in `stretches.STRETCHES`; black and white are computed for each image.

    Raises
    ------
    InputError
        Both are given, or the range is empty or not finite.
    """

    range: tuple[float, float] | None = None
    stretch: str | None = None

    def __post_init__(self) -> None:
        if self.range is not None:
            object.__setattr__(self, "range", tuple(map(float, self.range)))
            if (
                len(self.range) != 2
                or not all(map(math.isfinite, self.range))
                or not self.range[0] < self.range[1]
            ):
                raise InputError(
                    "range of values", rule="be two numbers, LOW below HIGH", found=self.range
                )
        if self.stretch is not None and self.stretch not in STRETCHES:
            raise unknown("stretch", self.stretch, STRETCHES)
        if self.range is not None and self.stretch is not None:
            raise InputError(
                "range and stretch",
                rule="be one or the other",
                found=f"{self.range} and {self.stretch}",
            )

    def of(self, values: npt.NDArray[Any], *, where: object) -> npt.NDArray[np.uint8]:
        """Return the grey levels of an image, as uint8 in the shape of the image.

        Parameters
        ----------
        values : ndarray of integers or floats
            Shape (channels, height, width). NaN becomes black.
        where : object
            Named in errors.

        Returns
        -------
        ndarray of uint8
            Without range and stretch, 8-bit values stay unchanged, and other integers are scaled by
            the range of their type (0 … its largest value). An image is scaled by its own values
            only by a stretch.

        Raises
        ------
        InputError
            Values are floats without a range or stretch, or integers below 0 without a range.
        """
        if self.range is not None:
            low, high = self.range
            scaled = (np.nan_to_num(values.astype(np.float64), nan=low) - low) / (high - low)
            return np.asarray(np.rint(np.clip(scaled, 0, 1) * 255), dtype=np.uint8)
        if self.stretch is not None and values.dtype != np.uint8:
            flux = values.astype(np.float64)
            flux[~np.isfinite(flux)] = np.nan
            if not np.isfinite(flux).any():
                raise InputError("image is blank", where=where, rule="hold a number")
            return STRETCHES[self.stretch](flux)
        if values.dtype == np.uint8:
            return values
        if values.dtype.kind not in "iu":
            raise InputError(
                f"picture of {8 * values.dtype.itemsize}-bit floats",
                where=where,
                rule="say which values are black and white",
                found=_span(values),
                remedy=f"give {FLAGS}",
            )
        if values.dtype.kind == "i" and values.min(initial=0) < 0:
            raise InputError(
                "picture of integers below 0",
                where=where,
                rule="say which values are black and white",
                found=_span(values),
                remedy=f"give {FLAGS}",
            )
        most = int(np.iinfo(values.dtype).max)
        # if the type's maximum is a multiple of 255, integers can be rounded without floats; for 16
        # bits this gives the same levels as earlier versions
        if most % 255 == 0:
            whole = most // 255
            half = values.dtype.type(whole // 2)
            return np.asarray(
                np.minimum(values // whole + (values % whole > half), 255), dtype=np.uint8
            )
        return np.asarray(np.rint(values / (most / 255)), dtype=np.uint8)


def _span(values: npt.NDArray[Any]) -> str:
    """Return the smallest and the largest finite pixel value as one text."""
    finite = values[np.isfinite(values)]
    return f"{finite.min():.6g} … {finite.max():.6g}" if finite.size else "no number"


def number_of(pixels: npt.NDArray[np.uint8]) -> int:
    """Count the grey levels that an image uses, all channels together, 1 … 256.

    Not all pixels are counted if a few of them use enough levels already.
    """
    levels = 0
    # count in few pixels first, to save time: one pixel in 256 shows enough levels in most images,
    # one in 64 in nearly all others
    for step in (16, 8, 4, 1):
        used = np.bincount(pixels[::step, ::step].ravel(), minlength=256)
        levels = int(np.count_nonzero(used))
        if levels >= FEWEST:
            break
    return levels


def shallow(levels: int) -> str:
    """Return the warning text about an image with few grey levels."""
    return f"image has {levels} grey levels of 256, fewer than {FEWEST}"
