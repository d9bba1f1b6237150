"""List the web services that send galaxy cutouts, and define the arcsec per pixel of cutouts."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, unknown
from gzfeatures.galaxies.catalogs.catalog import Catalog

SIZES = ("petro_r90", "petro_r50")
"""Columns of measured sizes (arcsec) that a cutout's scale may follow.

Columns with volunteers' votes are not allowed: if the scale of cutouts depended on the class, a
network could learn the class from the scale."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """Define the arcsec per pixel of cutouts: fixed, or proportional to a measured galaxy size.

    Parameters
    ----------
    factor : float
        Arcsec per pixel; with `column`, the factor by which the size in this column is multiplied.
    column : str, optional
        Catalog column with a measured size, one of `SIZES`; None for a fixed scale.
    minimum : float
        Smallest allowed arcsec per pixel.

    Raises
    ------
    InputError
        `column` is no measured size, or the scale is not positive.
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
        """Return the arcsec per pixel for each galaxy, shape (n,); NaN if its size is unknown."""
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
    """Store how cutouts are requested from a web service: address, query, image sizes and bands.

    Parameters
    ----------
    url : str
        Public web address of the service.
    query : str
        Part of a request's address after the `?`: a format string with ra, dec, fov (degrees),
        scale (arcsec per pixel) and pixels.
    suffix : str
        Ending of the image files.
    pixels : int
        Default side of a cutout in pixels.
    largest : int
        Largest side of a cutout that the service makes, in pixels.
    scale : Scale
        Default rule for the arcsec per pixel.
    without_size : Scale, optional
        Default rule for a catalog that lacks the size column of `scale`; None if the pixel size of
        the survey is unknown.
    rate : float
        Polite number of requests per second to the public address.
    bands : tuple of str
        Bands of the files; empty for a colour JPEG.
    through : {"http", "astroquery"}
        Whether requests are sent directly, or by the library astroquery.
    """

    url: str
    query: str
    suffix: str
    pixels: int
    largest: int
    scale: Scale
    without_size: Scale | None
    rate: float
    bands: tuple[str, ...] = ()
    through: Literal["http", "astroquery"] = "http"


SURVEYS: dict[str, CutoutService] = {
    # as the images of Galaxy Zoo 2: 424 px with 0.02 × petroR90_r arcsec per pixel (Willett et al.
    # 2013, section 2.2)
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
    # HiPS is a format for images of the whole sky (Fernique et al. 2017, IVOA Recommendation HiPS
    # 1.0); this service of the CDS cuts out of any survey in this format, at any scale
    "hips": CutoutService(
        url="https://alasky.cds.unistra.fr/hips-image-services/hips2fits",
        query="hips={hips}&ra={ra:.7f}&dec={dec:.7f}&fov={fov:.9f}&width={pixels}&height={pixels}"
        "&projection=TAN&coordsys=icrs&rotation_angle=0&format=jpg",
        suffix=".jpg",
        pixels=424,
        largest=2048,
        scale=Scale(0.02, "petro_r90", minimum=0.1),
        without_size=None,
        rate=5.0,
    ),
}
"""Name of a survey → web service that sends its cutouts."""

HIPS: dict[str, float] = {
    "CDS/P/PanSTARRS/DR1/color-z-zg-g": 0.25,
    "CDS/P/DESI-Legacy-Surveys/DR10/color": 0.262,
    "CDS/P/SDSS9/color": 0.396,
    "CDS/P/2MASS/color": 1.0,
    "CDS/P/DSS2/color": 1.0,
    "CDS/P/unWISE/color-W2-W1W2-W1": 2.75,
}
"""Identifier of a HiPS → arcsec per pixel of its survey; `hips` without ID means the first."""

_HIPS_ID = re.compile(r"[\w.+-]+(/[\w.+-]+)+", re.ASCII)


def service_of(name: str) -> CutoutService:
    """Return a cutout service by its name; `hips:ID` means the HiPS survey with this identifier.

    Parameters
    ----------
    name : str
        Name in `SURVEYS`, or `hips:` and the identifier of a HiPS, as in `hips:CDS/P/DSS2/color`.

    Raises
    ------
    UnknownNameError
        No survey has this name.
    InputError
        The identifier of the HiPS is not complete: the service would then choose any HiPS whose
        identifier contains it.

    Examples
    --------
    >>> service_of("hips:CDS/P/2MASS/color").without_size
    Scale(factor=1.0, column=None, minimum=0.0)
    """
    kind, sign, hips = name.partition(":")
    if kind not in SURVEYS or (sign and kind != "hips"):
        raise unknown("survey", name, (*SURVEYS, "hips:ID"))
    service = SURVEYS[kind]
    if kind != "hips":
        return service
    hips = hips if sign else next(iter(HIPS))
    if not _HIPS_ID.fullmatch(hips):
        raise InputError(
            "HiPS of cutouts",
            rule="be named by its whole identifier, such as CDS/P/DSS2/color",
            found=hips,
            remedy="take one of https://aladin.cds.unistra.fr/hips/list",
        )
    return dataclasses.replace(
        service,
        query=service.query.replace("{hips}", quote(hips, safe="/")),
        without_size=Scale(HIPS[hips]) if hips in HIPS else None,
    )
