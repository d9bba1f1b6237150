"""Define a view: the crop, size, colours and stretch that turn an image into a network's input."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from gzfeatures.errors import InputError, unknown
from gzfeatures.images.decoding.stretches import STRETCHES

INTERPOLATIONS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
"""Pillow's filter of each interpolation."""
RADII = {"bilinear": 1, "bicubic": 2}
"""Distance in pixels of the result at which each filter ends."""

Box: TypeAlias = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class View:
    """Store a view of images: central crop, size, colours and bands that a network receives.

    Parameters
    ----------
    size : int
        Side of the result in pixels.
    crop : float
        Central share of the shorter side that is kept, in (0, 1].
    grey : bool
        Whether colours are replaced by their luminance, repeated in three channels.
    bands : tuple of str, optional
        For images in bands only: names of the bands that become the channels, in this order (of
        three bands: red, green, blue). By default a single band is repeated three times, and three
        bands are sorted from the longest wavelength to the shortest; for other numbers of bands,
        names must be given.
    stretch : str, optional
        For images in bands only: name of the stretch in `stretches.STRETCHES` that turns flux into
        0…255; "lupton" by default.
    interpolation : {"bilinear", "bicubic"}
        Filter that resizes images; it is widened if the image is made smaller (antialiasing).
    """

    size: int = 224
    crop: float = 1.0
    grey: bool = False
    bands: tuple[str, ...] | None = None
    stretch: str | None = None
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 4096:
            raise InputError("view size", rule="lie in 8…4096 px", found=self.size)
        if not 0 < self.crop <= 1:
            raise InputError("view crop", rule="lie in (0, 1]", found=self.crop)
        if self.interpolation not in INTERPOLATIONS:
            raise unknown("interpolation", self.interpolation, list(INTERPOLATIONS))
        if self.stretch is not None and self.stretch not in STRETCHES:
            raise unknown("stretch", self.stretch, STRETCHES)
        if self.bands is not None:
            object.__setattr__(self, "bands", tuple(self.bands))
            if not all(self.bands) or not 0 < len(set(self.bands)) == len(self.bands):
                raise InputError("view bands", rule="name each band once", found=self.bands)

    @classmethod
    def parse(cls, text: str, base: View | None = None) -> View:
        """Read a view from a text such as `size=128,crop=0.566`; `base` gives the other fields.

        Parameters
        ----------
        text : str
            Fields and values of the view.
        base : View, optional
            View that gives the other fields; by default `View()`.

        Raises
        ------
        InputError
            A field is unknown or its value cannot be read.
        """
        fields: dict[str, Any] = {}
        kinds: dict[str, Callable[[str], Any]] = {
            "size": int,
            "crop": float,
            "grey": lambda v: {"true": True, "false": False}[v.lower()],
            "bands": lambda v: tuple(v.split("+")),
            "stretch": str,
            "interpolation": str,
        }
        for item in filter(None, text.split(",")):
            name, _, value = item.strip().partition("=")
            if name not in kinds:
                raise InputError(
                    "unknown field of a view",
                    where=text,
                    rule=f"be one of {', '.join(kinds)}",
                    found=name,
                )
            try:
                fields[name] = kinds[name](value)
            except (ValueError, KeyError):
                raise InputError("view field cannot be read", where=text, found=item) from None
        return dataclasses.replace(base or cls(), **fields)

    def asdict(self) -> dict[str, Any]:
        """Return the fields of the view as JSON values; `View(**fields)` reads them back."""
        fields = {
            **dataclasses.asdict(self),
            "bands": None if self.bands is None else list(self.bands),
        }
        # leave out the default interpolation, so that views stored by earlier versions, which knew
        # no other interpolation, stay equal
        if self.interpolation == "bilinear":
            del fields["interpolation"]
        return fields

    def apply(self, image: Image.Image | npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the pixels of an image after this view's crop, resizing and colours.

        Parameters
        ----------
        image : PIL.Image.Image or ndarray of uint8
            A picture of any 8-bit mode (alpha is dropped, grey is repeated), or an array (height,
            width, channels).

        Returns
        -------
        ndarray of uint8
            Shape (size, size, 3); (size, size, channels) for an array with a different number of
            channels.

        Raises
        ------
        InputError
            `grey` is set, and the array does not have three channels.
        """
        if isinstance(image, np.ndarray):
            if image.shape[2] != 3:
                return self._channels(image)
            image, box = self._window(image)
        else:
            box = self._box(image.width, image.height)
        if self.grey:
            image = image.convert("L")
        return self._resized(image if image.mode == "RGB" else image.convert("RGB"), box)

    def _channels(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if self.grey:
            raise InputError(
                "grey view", rule="see three bands", found=image.shape[2], remedy="name three bands"
            )
        return np.stack(
            [self._resized(*self._window(channel)) for channel in np.moveaxis(image, 2, 0)], 2
        )

    def _box(self, width: int, height: int) -> Box:
        """Return the edges of the crop in a picture, in pixels: left, upper, right, lower."""
        side = self.crop * min(width, height)
        # crop at the centre, because a cutout shows its galaxy at the centre
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side

    def _window(self, pixels: npt.NDArray[np.uint8]) -> tuple[Image.Image, Box]:
        """Return the part of an array that resizing reads, and the edges of the crop in this part.

        The array has shape (height, width[, 3]).
        """
        height, width = pixels.shape[:2]
        left, top, right, bottom = self._box(width, height)
        # resizing also reads a margin around the crop, as wide as one pixel of the result (two for
        # bicubic); without it, the result would differ from that of resizing the uncropped image
        reach = math.ceil(RADII[self.interpolation] * max(1.0, (right - left) / self.size)) + 1
        x, y = max(0, math.floor(left) - reach), max(0, math.floor(top) - reach)
        part = pixels[y : math.ceil(bottom) + reach, x : math.ceil(right) + reach]
        return Image.fromarray(np.ascontiguousarray(part)), (
            left - x,
            top - y,
            right - x,
            bottom - y,
        )

    def _resized(self, image: Image.Image, box: Box) -> npt.NDArray[np.uint8]:
        if self.crop == 1 and image.width == image.height == self.size:
            return np.asarray(image)
        filter_ = INTERPOLATIONS[self.interpolation]
        return np.asarray(image.resize((self.size, self.size), filter_, box=box))
