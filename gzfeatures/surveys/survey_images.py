"""List the survey images (tiles) in a folder, with their sky positions and bands."""

from __future__ import annotations

import dataclasses
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.files import join_inside, require_file
from gzfeatures.images.decoding.alignment import arcsec_per_pixel, celestial
from gzfeatures.images.decoding.band_files import read_unaligned
from gzfeatures.images.decoding.filters import images_among, wavelength
from gzfeatures.images.decoding.fits_planes import plane_headers
from gzfeatures.images.decoding.warning_filter import without_warnings

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.wcs import WCS

ENDINGS = (".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz", ".fits.fz", ".fit.fz")
MOST_PIXELS = 400_000_000
"""Largest number of pixels of a survey image, in all bands together (20,000 × 20,000)."""
HELD = 6
"""Number of files whose pixels are kept in memory: enough for the bands of one position."""
ALIKE = 0.01
"""Pixel scales (arcsec per pixel) that differ by at most this fraction count as equal."""


@dataclasses.dataclass(frozen=True, eq=False)
class SurveyImage:
    """Store facts about one survey image (tile) in one band: file, sky coordinates and size.

    Parameters
    ----------
    path : Path
        FITS file with the image.
    band : str
        Band, as the header names it (FILTER, BAND, BANDS …).
    world : astropy.wcs.WCS
        Celestial coordinates of the pixels.
    width, height : int
        Size in pixels.
    """

    path: Path
    band: str
    world: WCS
    width: int
    height: int

    @cached_property
    def middle(self) -> SkyCoord:
        """Return the sky position of the survey image's centre."""
        return self.world.pixel_to_world((self.width - 1) / 2, (self.height - 1) / 2)

    @cached_property
    def reach(self) -> float:
        """Return the angle in degrees between the survey image's centre and its farthest corner."""
        ends = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) * [self.width, self.height] - 0.5
        corners = self.world.pixel_to_world(*ends.T)
        return float(np.max(corners.separation(self.middle).deg))

    @cached_property
    def scale(self) -> float:
        """Return the survey image's arcseconds per pixel: the square root of a pixel's sky area."""
        return arcsec_per_pixel(self.world)

    def depth(self, place: SkyCoord) -> float:
        """Return how far inside the image a sky position is: pixels to the border, or negative."""
        from astropy.wcs.utils import skycoord_to_pixel

        # first exclude positions far from the image, because some projections also give pixel
        # coordinates for positions on the opposite side of the sky
        if float(place.separation(self.middle).deg) > self.reach * 1.01:
            return -np.inf
        x, y = (float(part) for part in skycoord_to_pixel(place, self.world))
        depth = min(x, y, self.width - 1 - x, self.height - 1 - y) + 0.5
        return depth if np.isfinite(depth) else -np.inf


class SurveyImages:
    """List the survey images (tiles) in a folder, and cache the pixels read last.

    Parameters
    ----------
    root : str or Path
        Folder with FITS files, also in its subfolders. Files with weights or masks are ignored.

    Raises
    ------
    MissingFileError
        The folder does not exist.
    InputError
        The folder has no FITS image, or an image is damaged or has no band or no celestial
        coordinates.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = require_file(root, "folder of tiles")
        names = [
            path.relative_to(self.root).as_posix()
            for path in sorted(self.root.rglob("*"))
            if path.name.lower().endswith(ENDINGS)
        ]
        if not names:
            raise InputError(
                "folder holds no tiles", where=self.root, rule=f"hold files {', '.join(ENDINGS)}"
            )
        self.tiles = [
            image
            for name in images_among(names)
            for image in _images_of(join_inside(self.root, name))
        ]
        self.pixels = lru_cache(HELD)(_pixels)

    @property
    def bands(self) -> tuple[str, ...]:
        """Return the bands of all survey images, sorted by wavelength."""
        return tuple(
            sorted(
                {image.band for image in self.tiles}, key=lambda name: (wavelength(name) or 0, name)
            )
        )

    @property
    def scale(self) -> float:
        """Return the arcsec per pixel that all survey images share; refuse different values.

        Raises
        ------
        InputError
            The images have different arcseconds per pixel.
        """
        scales = [image.scale for image in self.tiles]
        if max(scales) > min(scales) * (1 + ALIKE):
            raise InputError(
                "tiles have several pixel scales",
                where=self.root,
                rule="have one, or be cut at a scale that is given",
                found=f"{min(scales):.4g} to {max(scales):.4g} arcsec",
                remedy="give arcseconds per pixel with --scale",
            )
        return float(np.median(scales))

    def at(self, place: SkyCoord, band: str) -> SurveyImage | None:
        """Return the survey image in which a position is farthest from the border, or None."""
        with without_warnings():
            depths = [
                (image.depth(place), row)
                for row, image in enumerate(self.tiles)
                if image.band == band
            ]
        depth, row = max(depths, default=(-np.inf, 0))
        return self.tiles[row] if depth > 0 else None


def _images_of(path: Path) -> list[SurveyImage]:
    """Return the survey images of a FITS file, one for each band."""
    tiles = []
    for names, header in plane_headers(path):
        if not names:
            raise InputError(
                "tile has no band",
                where=path,
                rule="name it in FILTER, BAND or BANDS of its header",
            )
        world = celestial(header)
        if world is None:
            raise InputError(
                "tile has no celestial coordinates", where=path, rule="have a WCS in its header"
            )
        size = int(header["NAXIS1"]), int(header["NAXIS2"])
        tiles += [SurveyImage(path, name, world, *size) for name in names]
    return tiles


def _pixels(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Read the pixels of a file's survey images, as band → image; bad pixels become NaN."""
    # read each band on its own grid: shifted onto the grid of another band, its pixels would no
    # longer belong to the sky coordinates in its header, which `SurveyImage.world` stores
    parts = read_unaligned(path.read_bytes(), where=path, max_pixels=MOST_PIXELS)
    return {
        name: np.where(bad, np.float32(np.nan), flux)
        for part in parts
        for name, flux, bad in zip(part.names, part.flux, part.bad, strict=True)
    }
