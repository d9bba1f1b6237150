"""Contents: what the bytes of one galaxy hold – a picture, bands, or both – and how a view sees them."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image

from gzfeatures.errors import GzError, InputError
from gzfeatures.images.arrays import channel_axis
from gzfeatures.images.bandfiles import read_fits, read_npy, read_npz, stacked
from gzfeatures.images.bands import Bands
from gzfeatures.images.parcels import array, unpacked
from gzfeatures.images.pictures import colours, picture
from gzfeatures.images.views import View

PICTURE, BANDS = "picture", "bands"
"""Parts of a galaxy that lies in several files; a file of one band is a part with that band's name."""

ZIP, NPY, FITS, GZIP = b"PK\x03\x04", b"\x93NUMPY", b"SIMPLE", b"\x1f\x8b"
"""First bytes of the formats that are no pictures."""


@dataclasses.dataclass(frozen=True)
class Contents:
    """The bytes of one galaxy, and what has to be known to read them.

    Parameters
    ----------
    data : bytes
        A file of a picture or of bands, or a parcel of several.
    where : object
        Named in errors.
    max_pixels : int
        Largest image that is decoded, all bands together.
    names : tuple of str, optional
        Names of the bands where the file itself has none.
    """

    data: bytes
    where: object
    max_pixels: int
    names: tuple[str, ...] | None = None

    def see(self, view: View) -> npt.NDArray[np.uint8]:
        """Pixels under a view, shape (size, size, channels). With bands or a stretch it sees the bands.

        Raises
        ------
        InputError
            Something is damaged, too large, not there, or a band of the view is blank.
        """
        parts = self._parts
        wants_bands = view.bands is not None or view.stretch is not None
        if PICTURE in parts and not (wants_bands and len(parts) > 1):
            if wants_bands:
                raise InputError(
                    "view asks for bands of a picture",
                    where=self.where,
                    remedy="leave bands and stretch out of the view, or give FITS or arrays",
                )
            return view.apply(self._picture)
        bands = self._bands
        try:
            return view.apply(bands.render(view.bands, view.stretch or "lupton"))
        except InputError as error:
            raise InputError(
                error.what, where=self.where, rule=error.rule, found=error.found, remedy=error.remedy
            ) from error

    @property
    def picture(self) -> npt.NDArray[np.uint8] | None:
        """The decoded picture in colour, shape (height, width, 3); None where there are bands only."""
        data = self._parts.get(PICTURE)
        if data is None:
            return None
        if data.startswith(NPY):
            return np.array(self._picture.convert("RGB"))
        return colours(data, where=self.where, max_pixels=self.max_pixels)

    def faults(self) -> list[str]:
        """Everything wrong with the bytes, one line each; empty when nothing is."""
        lines = []
        try:
            parts = self._parts
            if PICTURE in parts:
                shown = np.asarray(self._picture)
                if (shown == shown[0, 0]).all():
                    lines.append(f"image is blank: every pixel is {shown[0, 0].tolist()}")
            if set(parts) - {PICTURE}:
                lines += self._bands.faults()
        except GzError as error:
            lines.append(reason(error))
        return lines

    @cached_property
    def _parts(self) -> dict[str, bytes]:
        """Parts of the galaxy by name: its picture, its bands, or files of one band each."""
        if self.data.startswith(ZIP):
            parts = unpacked(self.data, where=self.where, max_bytes=16 * self.max_pixels)
            return {BANDS: self.data} if any(name.endswith(".npy") for name in parts) else parts
        if self.data.startswith(NPY) and self.names is None:
            shown = array(self.data, where=self.where, max_bytes=16 * self.max_pixels)
            return {PICTURE if shown.dtype == np.uint8 else BANDS: self.data}
        return {BANDS if self.data.startswith((FITS, GZIP, NPY)) else PICTURE: self.data}

    @cached_property
    def _picture(self) -> Image.Image:
        data = self._parts[PICTURE]
        if not data.startswith(NPY):
            return picture(data, where=self.where, max_pixels=self.max_pixels)
        image = array(data, where=self.where, max_bytes=3 * self.max_pixels)
        axis = channel_axis(image.shape, None, where=self.where)
        image = image if image.ndim == 2 else np.moveaxis(image, axis, 2)
        return Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[2:] == (1,) else image))

    @cached_property
    def _bands(self) -> Bands:
        files = {name: data for name, data in sorted(self._parts.items()) if name != PICTURE}
        return stacked(
            [self._band_file(data, self.names if name == BANDS else (name,)) for name, data in files.items()],
            where=self.where,
        )

    def _band_file(self, data: bytes, names: tuple[str, ...] | None) -> Bands:
        if data.startswith(ZIP):
            parts = unpacked(data, where=self.where, max_bytes=16 * self.max_pixels)
            return read_npz(parts, where=self.where, max_pixels=self.max_pixels, names=names)
        read = read_npy if data.startswith(NPY) else read_fits
        return read(data, where=self.where, max_pixels=self.max_pixels, names=names)


def reason(error: GzError) -> str:
    """What an error says, without the place, for a list in which the place is the id."""
    return str(GzError(error.what, rule=error.rule, found=error.found))
