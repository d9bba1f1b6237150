"""Store one image in several bands; select bands, crop at a sky position, check, and draw it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.images.decoding.alignment import mirrored
from gzfeatures.images.decoding.filters import alike, wavelength
from gzfeatures.images.decoding.grey_levels import Levels
from gzfeatures.images.decoding.stretches import STRETCHES
from gzfeatures.images.decoding.warning_filter import without_warnings

if TYPE_CHECKING:
    from astropy.io.fits import Header

MAX_BAD = 0.1
"""Largest share of bad pixels in a band that does not count as a fault."""


@dataclasses.dataclass(frozen=True, eq=False)
class Bands:
    """Store the images of one galaxy in several bands (filters).

    Parameters
    ----------
    names : tuple of str
        Name of each band, unique.
    flux : ndarray of float32
        Shape (bands, height, width), in the file's unit and row order.
    bad : ndarray of bool
        True for pixels without a measurement, same shape as `flux`: not finite, without weight,
        marked by a mask, or in an area that a survey filled with zeros (see `bad_pixels`). Flux
        that is not finite becomes NaN; the flux of other bad pixels is unchanged.
    header : astropy.io.fits.Header, optional
        Header with the celestial coordinates; None if the image has no coordinates.
    uncovered : ndarray of bool, optional
        True for bad pixels outside the band's own image, same shape as `flux`: a shift onto the
        grid of a different band leaves an empty margin. None if no band was shifted.
    """

    names: tuple[str, ...]
    flux: npt.NDArray[np.float32]
    bad: npt.NDArray[np.bool_]
    header: Header | None = None
    uncovered: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if (
            self.flux.ndim != 3
            or self.flux.shape[0] != len(self.names)
            or self.bad.shape != self.flux.shape
        ):
            raise InputError(
                "bands",
                rule="have shape (bands, height, width)",
                found=(self.names, self.flux.shape),
            )
        if len(set(self.names)) != len(self.names):
            raise InputError("bands", rule="be named once each", found=", ".join(self.names))

    def select(self, names: Sequence[str]) -> Bands:
        """Return the images of the bands with these names, in the order of the names.

        `r` also selects `HSC-R` if no other band may be called r, and `f115w` selects `F115W`.

        Raises
        ------
        InputError
            The image has no band of one of these names.
        """
        rows = [self._row(name) for name in names]
        return dataclasses.replace(
            self,
            names=tuple(names),
            flux=self.flux[rows],
            bad=self.bad[rows],
            uncovered=None if self.uncovered is None else self.uncovered[rows],
        )

    def _row(self, name: str) -> int:
        if name in self.names:
            return self.names.index(name)
        rows = [row for row, name_in_file in enumerate(self.names) if alike(name_in_file, name)]
        if len(rows) != 1:
            raise InputError(
                f"no band {name}", rule=f"be one of {', '.join(self.names)}", found=name
            )
        return rows[0]

    def cut(self, ra: float, dec: float, arcsec: float) -> Bands:
        """Cut a square around a sky position out of the image, by its celestial coordinates.

        Parameters
        ----------
        ra, dec : float
            Centre in degrees (ICRS).
        arcsec : float
            Side of the square in arcseconds. Outside the image, flux is NaN and bad is True.

        Raises
        ------
        InputError
            The image has no celestial coordinates, or the square lies outside the image.
        """
        from astropy import units
        from astropy.coordinates import SkyCoord
        from astropy.nddata import Cutout2D
        from astropy.wcs import WCS

        if self.header is None:
            raise InputError(
                "image has no celestial coordinates",
                rule="be FITS with a WCS to be cut by position",
            )
        with without_warnings():
            world = WCS(self.header, naxis=2)
            if not world.has_celestial:
                raise InputError(
                    "image has no celestial coordinates", rule="have a WCS to be cut by position"
                )
            place = SkyCoord(ra, dec, unit="deg")
            try:
                cuts = [
                    Cutout2D(
                        plane,
                        place,
                        arcsec * units.arcsec,
                        wcs=world,
                        mode="partial",
                        fill_value=fill,
                        copy=True,
                    )
                    for planes, fill in ((self.flux, np.nan), (self.bad, True))
                    for plane in planes
                ]
            except ValueError:
                # the square and the image do not overlap, or the position is on the far side of the
                # sky
                raise InputError(
                    "cut lies off the image", found=f"ra {ra}, dec {dec}, {arcsec} arcsec"
                ) from None
        planes = [cut.data for cut in cuts]
        n = len(self.names)
        return Bands(
            self.names, np.stack(planes[:n]), np.stack(planes[n:]), cuts[0].wcs.to_header()
        )

    def faults(self, most_bad: float = MAX_BAD) -> list[str]:
        """List the faults of the image: bands that are blank, or have many bad pixels.

        Parameters
        ----------
        most_bad : float
            Largest share of bad pixels in a band's own image that is no fault, in [0, 1].
        """
        lines = []
        uncovered = np.zeros_like(self.bad) if self.uncovered is None else self.uncovered
        for name, flux, bad, outside in zip(
            self.names, self.flux, self.bad, uncovered, strict=True
        ):
            good = flux[~bad]
            # count bad pixels only where the band's image had pixels before it was shifted onto
            # another band's grid: the empty margin left by the shift is no fault
            share = bad[~outside].mean() if not outside.all() else 1.0
            if len(good) == 0 or good.min() == good.max():
                lines.append(f"band {name} is blank")
            elif share > most_bad:
                lines.append(f"band {name} has {share:.1%} bad pixels")
        return lines

    def render(
        self,
        names: Sequence[str] | None = None,
        stretch: str = "lupton",
        range: tuple[float, float] | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Draw the image in 8 bits per channel, mirrored where needed to look as on the sky.

        Parameters
        ----------
        names : sequence of str, optional
            Bands that become the channels. By default a single band is repeated three times, and
            three bands are sorted from the longest wavelength (red) to the shortest (blue).
        stretch : str
            Name of a stretch in `stretches.STRETCHES`. Its statistics ignore bad pixels, which are
            drawn black.
        range : two floats, optional
            Flux that becomes black and flux that becomes white, instead of a stretch.

        Returns
        -------
        ndarray of uint8
            Shape (height, width, channels), with the first row on top; rows of FITS images, which
            are counted from below, are reversed. An image with east to the right, as its
            coordinates say, is mirrored.

        Raises
        ------
        InputError
            A band is blank or missing, or the default order is undefined because of the number or
            wavelengths of the bands.
        """
        chosen = self.select(self._order() if names is None else names)
        blank = [line for line in chosen.faults() if line.endswith("blank")]
        if blank:
            raise InputError(blank[0], rule="hold more than one value")
        # make bad pixels NaN, so that the stretch ignores them and draws them black
        flux = np.where(chosen.bad, np.nan, chosen.flux.astype(np.float64))
        planes = STRETCHES[stretch](flux) if range is None else Levels(range).of(flux, where=None)
        planes = planes.repeat(3, axis=0) if names is None and len(planes) == 1 else planes
        # reverse the rows, because FITS counts rows from the bottom, a picture from the top
        planes = planes[:, ::-1] if self.header is not None else planes
        planes = planes[:, :, ::-1] if mirrored(self.header) else planes
        return np.ascontiguousarray(np.moveaxis(planes, 0, 2))

    def _order(self) -> tuple[str, ...]:
        """Return the bands to draw as colour channels: one band, or three by falling wavelength."""
        if len(self.names) == 1:
            return self.names
        lengths = {name: wavelength(name) for name in self.names}
        if (
            len(self.names) == 3
            and None not in lengths.values()
            and len(set(lengths.values())) == 3
        ):
            return tuple(sorted(self.names, key=lambda name: lengths[name] or 0.0, reverse=True))
        raise InputError(
            "bands of the view are not chosen",
            rule=f"be some of {', '.join(self.names)}",
            remedy="name them in the view, as bands=" + "+".join(self.names[2::-1]),
        )
