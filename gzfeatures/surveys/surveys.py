"""List the cutout services with their queries, and define the scale of a cutout."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog

SIZES = ("petro_r90", "petro_r50")
"""Columns of measured sizes (arcsec) that a cutout's scale may follow.

Volunteers' votes are not among them: a cutout whose scale depends on the class shows the label to
the network."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """Set the arcseconds per pixel of a cutout: fixed, or proportional to a measured size.

    Parameters
    ----------
    factor : float
        Arcsec per pixel, or its share of `column`.
    column : str, optional
        One of `SIZES`; None for a fixed scale.
    minimum : float
        Smallest scale, arcsec per pixel.

    Raises
    ------
    InputError
        The scale would depend on anything but a measured size, or is not positive.
    """

    factor: float
    column: str | None = None
    minimum: float = 0.0

    def __post_init__(self) -> None:
        if self.column is not None and self.column not in SIZES:
            raise InputError(
                "scale of a cutout depends on a column that is no measured size",
                rule=f"follow {' or '.join(SIZES)}",
                found=self.column,
                remedy="a scale that follows the class shows the label to the network",
            )
        if not (np.isfinite(self.factor) and self.factor > 0 and self.minimum >= 0):
            raise InputError(
                "scale of a cutout", rule="be above 0 arcsec per pixel", found=self.factor
            )

    def of(self, catalog: Catalog) -> npt.NDArray[np.float64]:
        """Return arcsec per pixel for each galaxy, shape (n,); NaN without a positive size."""
        if self.column is None:
            return np.full(len(catalog.ids), max(self.factor, self.minimum))
        size = catalog.column(self.column).astype(np.float64)
        return np.where(size > 0, np.maximum(self.factor * size, self.minimum), np.nan)

    def __str__(self) -> str:
        if self.column is None:
            return f"{self.factor:g} arcsec/px"
        return f"{self.factor:g} × {self.column} arcsec/px, at least {self.minimum:g}"


@dataclasses.dataclass(frozen=True)
class CutoutService:
    """Describe a cutout service and its queries.

    Parameters
    ----------
    url : str
        Its public address.
    query : str
        What follows the `?`, a format string of ra, dec (degrees), scale (arcsec per pixel) and
        pixels.
    suffix : str
        Of the files it gives.
    pixels : int
        Side of a cutout by default.
    largest : int
        Largest side it gives.
    scale : Scale
        By default.
    without_size : Scale
        By default, for a catalog without the size that `scale` follows.
    rate : float
        Questions per second that are polite at the public address.
    bands : tuple of str
        Bands of the files; empty for a colour JPEG.
    through : {"http", "astroquery"}
        How it is asked.
    """

    url: str
    query: str
    suffix: str
    pixels: int
    largest: int
    scale: Scale
    without_size: Scale
    rate: float
    bands: tuple[str, ...] = ()
    through: Literal["http", "astroquery"] = "http"


SURVEYS: dict[str, CutoutService] = {
    # Willett et al. (2013), section 2.2: 424 px with 0.02 × petroR90_r arcsec per pixel
    "sdss": CutoutService(
        url="https://skyserver.sdss.org/dr18/SkyServerWS/ImgCutout/getjpeg",
        query="ra={ra:.7f}&dec={dec:.7f}&scale={scale:.6f}&width={pixels}&height={pixels}",
        suffix=".jpg",
        pixels=424,
        largest=2048,
        scale=Scale(0.02, "petro_r90", minimum=0.1),
        without_size=Scale(0.396),
        rate=10.0,
    ),
    "legacy": CutoutService(
        url="https://www.legacysurvey.org/viewer/cutout.jpg",
        query="ra={ra:.7f}&dec={dec:.7f}&layer=ls-dr10&pixscale={scale:.6f}&size={pixels}",
        suffix=".jpg",
        pixels=424,
        largest=512,
        scale=Scale(0.02, "petro_r90", minimum=0.1),
        without_size=Scale(0.262),
        rate=5.0,
    ),
    "legacy-fits": CutoutService(
        url="https://www.legacysurvey.org/viewer/cutout.fits",
        query="ra={ra:.7f}&dec={dec:.7f}&layer=ls-dr10&pixscale={scale:.6f}&size={pixels}"
        "&bands=grz",
        suffix=".fits",
        pixels=256,
        largest=512,
        scale=Scale(0.262),
        without_size=Scale(0.262),
        rate=5.0,
        bands=("g", "r", "z"),
    ),
    "skyview": CutoutService(
        url="https://skyview.gsfc.nasa.gov/current/cgi/basicform.pl",
        query="",
        suffix=".fits",
        pixels=128,
        largest=1024,
        scale=Scale(0.396),
        without_size=Scale(0.396),
        rate=1.0,
        bands=("u", "g", "r", "i", "z"),
        through="astroquery",
    ),
}
"""Cutout services by name."""
