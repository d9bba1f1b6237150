"""Decode the bytes of one galaxy's image to the pixels that a network receives."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gzfeatures.errors import GzError, InputError
from gzfeatures.images.decoding.band_files import UNNAMED, read_fits, read_npy, read_npz, stacked
from gzfeatures.images.decoding.bands import Bands
from gzfeatures.images.decoding.bundle import array, unpacked
from gzfeatures.images.decoding.decode_rgb import bits, decode, in_colour, no_bands
from gzfeatures.images.decoding.grey_levels import FEWEST, Levels, number_of, shallow
from gzfeatures.images.emptiness import of_bands, of_picture
from gzfeatures.images.framing import cut_to_frame
from gzfeatures.images.reading import READING, Reading
from gzfeatures.images.sources.arrays import channel_axis
from gzfeatures.images.view import View

PICTURE, BANDS = "picture", "bands"
"""Keys of a galaxy's files by content; a file of one band has the band's name as its key."""

ZIP, NPY, FITS, GZIP, PNG = (
    b"PK\x03\x04",
    b"\x93NUMPY",
    b"SIMPLE",
    b"\x1f\x8b",
    b"\x89PNG\r\n\x1a\n",
)
"""First bytes of files that are no pictures, and of PNG, whose header gives the bit depth."""


@dataclasses.dataclass(frozen=True)
class Decoder:
    """Decode one galaxy's image from the bytes of its files.

    Parameters
    ----------
    data : bytes
        The galaxy's picture or image in bands, as a file; several files are bundled in a zip.
    where : object
        File to name in errors.
    max_pixels : int
        Largest image that is decoded, all bands together.
    reading : Reading
        Options for reading the file, such as the names of its bands.
    """

    data: bytes
    where: object
    max_pixels: int
    reading: Reading = READING

    def see(self, view: View, frame: float | None = None) -> npt.NDArray[np.uint8]:
        """Return the pixels that a network receives under a view (crop, size, stretch), uint8.

        The shape is (size, size, channels).

        If the galaxy has both a picture and bands, the bands are used for a view that names bands
        or a stretch. `frame` is the side of the field that Galaxy Zoo 2 showed, in pixels of the
        image; None if the image shows exactly this field.

        Raises
        ------
        InputError
            The file is damaged or too large; a band of the view is missing or blank; the view shows
            more sky than the image; a picture of floats has neither stretch nor range; or the view
            names bands or a stretch for a picture of 8 bits.
        """
        parts = self._parts
        # if a galaxy has a colour picture and files of bands, decode the bands only if the view
        # (crop, size, stretch) selects or stretches bands
        wants_bands = view.bands is not None or view.stretch is not None
        if PICTURE in parts and not (wants_bands and len(parts) > 1):
            if view.bands is not None:
                raise no_bands(self.where)
            # decode anew if the view has a stretch, because a stretch needs the original values,
            # not 8-bit grey levels
            levels = Levels(self.reading.range, view.stretch)
            image = Image.fromarray(self._decoded(levels) if view.stretch else self._whole_picture)
            return cut_to_frame(view, frame, image.size, self.where).apply(image)
        bands, limits = self._bands, self.reading.range
        # refuse a range together with a stretch: a range fixes black and white for all images, a
        # stretch sets them for each image
        if view.stretch and limits:
            raise InputError(
                "range and stretch",
                where=self.where,
                rule="be one or the other",
                found=f"{limits} and the view's {view.stretch}",
            )
        self._require_levels(bands, view.stretch)
        try:
            rendered = bands.render(
                view.bands, view.stretch or self.reading.stretch or "lupton", limits
            )
            shown = cut_to_frame(view, frame, rendered.shape[:2], self.where)
            return shown.apply(rendered)
        except InputError as error:
            raise InputError(
                error.what,
                where=self.where,
                rule=error.rule,
                found=error.found,
                remedy=error.remedy,
            ) from error

    @property
    def picture(self) -> npt.NDArray[np.uint8] | None:
        """Return the colour picture, shape (height, width, 3); None if there are only bands."""
        return in_colour(self._whole_picture) if PICTURE in self._parts else None

    @property
    def decoded(self) -> npt.NDArray[np.uint8] | None:
        """Return the colour picture if it has been decoded already; None otherwise."""
        return self.picture if "_whole_picture" in self.__dict__ else None

    def faults(self) -> list[str]:
        """List the faults of the image, one line each; the list is empty for a good image.

        It is also a fault if values of more than 8 bits become fewer than 32 grey levels, because
        contrast is lost.
        """
        lines = []
        try:
            parts = self._parts
            if PICTURE in parts:
                pixels = self._whole_picture
                empty = of_picture(pixels)
                if empty is not None:
                    lines.append(empty)
                elif self.lossy and (count := number_of(pixels)) < FEWEST:
                    lines.append(f"{shallow(count)}: its contrast is lost; give --range LOW HIGH")
            if set(parts) - {PICTURE}:
                bands = self._bands
                self._require_levels(bands, None)
                lines += bands.faults()
                if self.reading.range is not None and not lines:
                    count = number_of(
                        self.reading.levels.of(
                            np.where(bands.bad, np.nan, bands.flux), where=self.where
                        )
                    )
                    lines += [f"{shallow(count)} in this range"] if count < FEWEST else []
        except GzError as error:
            lines.append(reason(error))
        return lines

    def nothing_shown(
        self, views: Sequence[View], pictures: Sequence[npt.NDArray[np.uint8]]
    ) -> str | None:
        """Return why an image shows no galaxy (such as one colour only); None if it may show one.

        Parameters
        ----------
        views : sequence of View
            The views under which the image was decoded.
        pictures : sequence of ndarray of uint8
            The decoded pixels: the uncropped picture, or the pixels under each view.
        """
        reasons = [of_picture(pixels) for pixels in pictures]
        if PICTURE not in self._parts:
            bands = self._bands
            # check only the bands that the view uses, because a bad u band does not harm an image
            # of g, r and i
            for view in views:
                shown = bands if view.bands is None else bands.select(view.bands)
                reasons.append(of_bands(shown))
        # give each reason once, because several views of one image mostly have the same reason
        return "; ".join(dict.fromkeys(reason for reason in reasons if reason)) or None

    def levels(self) -> int | None:
        """Return how many grey levels the picture uses, 1 … 256; None if there are only bands."""
        return number_of(self._whole_picture) if PICTURE in self._parts else None

    @property
    def lossy(self) -> bool:
        """Return whether the picture's values must be reduced to 8-bit grey levels."""
        data = self._parts.get(PICTURE, b"")
        if data.startswith(NPY):
            return (
                array(data, where=self.where, max_bytes=8 * 3 * self.max_pixels).dtype != np.uint8
            )
        # find the bit depth: a PNG stores it in the header, a TIFF in a tag; other pictures have 8
        # bits
        depth = data[24] if data.startswith(PNG) and len(data) > 24 else (bits(data) or ("u", 8))[1]
        return depth > 8 or self.reading.range is not None

    def _require_levels(self, bands: Bands, stretch: str | None) -> None:
        """Refuse floats without range or stretch: nothing says which values are black and white."""
        if (
            bands.names == (UNNAMED,)
            and bands.header is None
            and not (stretch or self.reading.stretch)
        ):
            Levels(self.reading.range).of(bands.flux, where=self.where)

    @cached_property
    def _parts(self) -> dict[str, bytes]:
        """Return file bytes by content: `picture`, `bands` (several bands), or a band's name."""
        if self.data.startswith(ZIP):
            parts = unpacked(self.data, where=self.where, max_bytes=16 * self.max_pixels)
            return {BANDS: self.data} if any(name.endswith(".npy") for name in parts) else parts
        if self.data.startswith(NPY) and self.reading.bands is None:
            stored = array(self.data, where=self.where, max_bytes=16 * self.max_pixels)
            # an array of 8-bit values, or of one or three channels, is a picture; all other arrays
            # contain bands
            plain = stored.ndim == 2 or (
                stored.ndim == 3 and {stored.shape[0], stored.shape[2]} & {1, 3}
            )
            return {
                PICTURE
                if stored.dtype == np.uint8 or (plain and stored.dtype.kind in "uif")
                else BANDS: self.data
            }
        return {BANDS if self.data.startswith((FITS, GZIP, NPY)) else PICTURE: self.data}

    @cached_property
    def _whole_picture(self) -> npt.NDArray[np.uint8]:
        """Return the uncropped picture, shape (height, width[, 3]); decode it only once."""
        return self._decoded(self.reading.levels)

    def _decoded(self, levels: Levels) -> npt.NDArray[np.uint8]:
        data = self._parts[PICTURE]
        if not data.startswith(NPY):
            return decode(data, where=self.where, max_pixels=self.max_pixels, levels=levels)
        image = array(data, where=self.where, max_bytes=8 * 3 * self.max_pixels)
        if image.size > 3 * self.max_pixels:
            raise InputError(
                "array is too large to read",
                where=self.where,
                rule=f"hold ≤ {self.max_pixels:,} pixels",
            )
        axis = channel_axis(image.shape, None, where=self.where)
        # move the channels to the last axis, where pictures have them; arrays may store them on the
        # first axis
        image = image[..., None] if axis is None else np.moveaxis(image, axis, 2)
        if image.dtype == np.uint8 and levels.stretch is not None:
            raise no_bands(self.where)
        if image.dtype != np.uint8 or levels.range is not None:
            image = np.moveaxis(levels.of(np.moveaxis(image, 2, 0), where=self.where), 0, 2)
        return np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image)

    @cached_property
    def _bands(self) -> Bands:
        files = {name: data for name, data in sorted(self._parts.items()) if name != PICTURE}
        return stacked(
            [
                self._band_file(data, self.reading.bands if name == BANDS else (name,))
                for name, data in files.items()
            ],
            where=self.where,
        )

    def _band_file(self, data: bytes, names: tuple[str, ...] | None) -> Bands:
        limits: dict[str, Any] = {
            "where": self.where,
            "max_pixels": self.max_pixels,
            "names": names,
        }
        if data.startswith(ZIP):
            return read_npz(
                unpacked(data, where=self.where, max_bytes=16 * self.max_pixels), **limits
            )
        if data.startswith(NPY):
            return read_npy(data, **limits)
        return read_fits(data, science=self.reading.science, **limits)


def reason(error: GzError) -> str:
    """Return an error's text without file name and remedy, for lists that name the galaxy."""
    return str(GzError(error.what, rule=error.rule, found=error.found))
