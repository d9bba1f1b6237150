"""Cut galaxies out of a survey's images (tiles) by sky position, with north up and east left."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, unknown
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.images.decoding.alignment import WHOLE
from gzfeatures.images.decoding.bands import MAX_BAD, Bands
from gzfeatures.images.decoding.warning_filter import without_warnings
from gzfeatures.progress import Progress, handed
from gzfeatures.surveys.band_cube import cube_of
from gzfeatures.surveys.cutouts import CutoutReport, prepared, report_of
from gzfeatures.surveys.downloads import Download
from gzfeatures.surveys.survey_images import SurveyImage, SurveyImages
from gzfeatures.surveys.surveys import CutoutService, Scale
from gzfeatures.web.outcomes import NoAnswer
from gzfeatures.web.polite_http import Service

if TYPE_CHECKING:
    from astropy.wcs import WCS

LARGEST = 2048
"""Largest side of a cutout in pixels."""
SIDE = 256
"""Default side of a cutout in pixels."""
ON_GRID = WHOLE
"""Largest distance in pixels between a point and a pixel's middle for the pixel to be copied.

A tile is copied if all points of a cutout are so close to pixels, otherwise interpolated. The
limit does not grow with the cutout, because stars are as wide in large cutouts as in small ones.
For a star whose FWHM is 3 pixels, a copied pixel is then wrong by up to 7 % of the peak.
Interpolation would be wrong by up to 14 %, because it blurs, and would correlate the noise of
neighbouring pixels."""

Grid = npt.NDArray[np.float64]


def cut_tiles(
    catalog: Catalog,
    folder: str | Path,
    tiles: str | Path,
    *,
    bands: tuple[str, ...] | None = None,
    scale: Scale | float | None = None,
    pixels: int = SIDE,
    progress: Progress | bool = False,
    overwrite: bool = False,
) -> CutoutReport:
    """Cut each galaxy out of a survey's images (tiles), as a FITS cube `<galaxy_id>.fits`.

    A cutout has north up and east left, even if the tiles are turned, mirrored, sheared or
    distorted; its values are in the unit of the tile's pixels. If a tile has north up, and the
    scale of the cutout, its pixels are copied, and the galaxy is within half a pixel of the middle.
    Otherwise the tile is interpolated linearly, and averaged if the cutout's pixels are larger. If
    several tiles show a galaxy, the tile is used in which it is farthest from the border.

    Parameters
    ----------
    catalog : Catalog
        Galaxies, with columns ra and dec (ICRS degrees).
    folder : str or Path
        Folder for the cutouts, as in `cutouts.download`.
    tiles : str or Path
        Folder of FITS tiles, whose headers name their band and have celestial coordinates.
    bands : tuple of str, optional
        Bands of a cutout; by default all bands in the folder.
    scale : Scale or float, optional
        Arcsec per pixel; by default that of the tiles.
    pixels : int
        Side of a cutout in pixels.
    progress : Progress or bool
        Shows a progress bar; by default nothing is shown. True: in the terminal.
    overwrite : bool
        Replace files that have the name of a cutout but are no valid cutouts.

    Returns
    -------
    CutoutReport
        Numbers of cutouts, and galaxies that failed with the reason: in some band no tile shows the
        galaxy, its cutout reaches beyond the tile, its central pixels are bad, or more than a tenth
        of the pixels are bad. Fewer bad pixels become NaN in the file.

    Raises
    ------
    MissingFileError, UnknownNameError, InputError
        The folder of tiles or a band does not exist; a tile has no band or no coordinates; tiles
        have different scales, and `scale` is not given; the catalog has no positions; or `folder`
        has cutouts with other settings.
    OutputError
        The folder cannot be written, or the disk is full.
    """
    if not 8 <= pixels <= LARGEST:
        raise InputError("pixels of a cutout", rule=f"lie in 8…{LARGEST} for tiles", found=pixels)
    source = SurveyImages(tiles)
    for name in bands or ():
        if name not in source.bands:
            raise unknown("band of the tiles", name, source.bands)
    chosen = bands or source.bands
    if scale is None:
        scale = round(source.scale, 6)
    rule = scale if isinstance(scale, Scale) else Scale(scale)
    survey = CutoutService("", "", ".fits", pixels, LARGEST, rule, rule, 1.0, chosen)
    settings: dict[str, Any] = {
        "survey": "tiles",
        "bands": ",".join(chosen),
        "scale": str(rule),
        "pixels": pixels,
    }
    places = np.stack([catalog.column("ra"), catalog.column("dec"), rule.of(catalog)], axis=1)
    # cut galaxies that are close on the sky one after the other: they are in the same survey image,
    # which is then read only once
    order = np.lexsort((places[:, 0], np.floor(np.nan_to_num(places[:, 1]) * 4)))
    cutter = GalaxyCutter(source, chosen, pixels)
    work = Download(
        ids=[str(name) for name in catalog.ids[order]],
        places=places[order],
        folder=Path(folder),
        own=prepared(Path(folder), settings),
        survey=survey,
        pixels=pixels,
        service=Service(workers=1, retries=0),
        fetch=cutter.cut,
        overwrite=overwrite,
    )
    results = work.run(1, handed(progress))
    of_galaxy = dict(zip(work.ids, results, strict=True))
    return report_of([str(name) for name in catalog.ids], of_galaxy, str(rule))


@dataclasses.dataclass(frozen=True, eq=False)
class GalaxyCutter:
    """Cut galaxies at given sky positions out of the survey images (tiles) in a folder.

    Parameters
    ----------
    source : SurveyImages
        Survey images (tiles) of the folder.
    bands : tuple of str
        Bands of a cutout.
    pixels : int
        Side of a cutout in pixels.
    """

    source: SurveyImages
    bands: tuple[str, ...]
    pixels: int

    def cut(self, ra: float, dec: float, scale: float) -> bytes:
        """Return the cutout of a sky position from survey images, as a FITS cube (see `cut_tiles`).

        Raises
        ------
        NoAnswer
            The survey images do not show the whole cutout, or bad pixels; the message says which.
        """
        from astropy.coordinates import SkyCoord

        place = SkyCoord(ra, dec, unit="deg")
        found: list[SurveyImage] = []
        for band in self.bands:
            image = self.source.at(place, band)
            if image is None:
                raise NoAnswer(f"no tile of band {band} shows this position")
            found.append(image)
        with without_warnings():
            target = self._target(ra, dec, scale, found)
            parts = [self._part(image, target) for image in found]
        flux = np.stack(parts).astype(np.float32)
        return cube_of(Bands(self.bands, flux, ~np.isfinite(flux), target.to_header()))

    def _target(self, ra: float, dec: float, scale: float, tiles: list[SurveyImage]) -> WCS:
        """Return a cutout's sky coordinates, if possible on the pixel grid of the survey images."""
        from astropy.wcs import WCS

        world = WCS(naxis=2)
        world.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        world.wcs.crval = [ra, dec]
        world.wcs.crpix = [(self.pixels + 1) / 2] * 2
        world.wcs.cdelt = [-scale / 3600, scale / 3600]
        columns, rows = np.meshgrid(np.arange(self.pixels), np.arange(self.pixels))
        ranges = []
        for image in tiles:
            x, y = _pixels_in(image, world, self.pixels, 1)
            offsets = (x - columns, y - rows)
            ranges.append([(part.min(), part.max()) for part in offsets])
        # smallest and largest offset between pixels of the cutout and of each survey image, in x
        # and y: shape (images, 2, 2)
        limits = np.array(ranges)
        # if the survey images of all bands share one pixel grid, shift the cutout by at most half a
        # pixel onto this grid, because then no interpolation is needed
        middles = limits.mean(axis=2)
        shift = np.rint(middles[0]) - middles[0]
        whole = np.rint(middles + shift)
        if np.abs(limits + shift[:, None] - whole[:, :, None]).max() <= ON_GRID:
            world.wcs.crpix = world.wcs.crpix - shift
        return world

    def _part(self, image: SurveyImage, target: WCS) -> Grid:
        """Return one survey image resampled to a cutout's pixels; bad pixels become NaN."""
        x, y = self._points_within(image, target, 1)
        finer = _points_per_pixel(x, y)
        if finer > 1:
            x, y = self._points_within(image, target, finer)
        flux = _sampled(self._plane(image), x, y)
        flux = flux.reshape(self.pixels, finer, self.pixels, finer).mean(axis=(1, 3))
        bad = ~np.isfinite(flux)
        middle = self.pixels // 2
        if bad[middle - 1 : middle + 1, middle - 1 : middle + 1].any():
            raise NoAnswer(f"galaxy lies on bad pixels of {image.path.name} in band {image.band}")
        if bad.mean() > MAX_BAD:
            raise NoAnswer(
                f"{bad.mean():.0%} of the cutout are bad pixels of {image.path.name} in band "
                f"{image.band}"
            )
        return np.asarray(flux)

    def _points_within(self, image: SurveyImage, target: WCS, finer: int) -> tuple[Grid, Grid]:
        """Return the points of `_pixels_in`; refuse a cutout with points outside the image."""
        x, y = _pixels_in(image, target, self.pixels, finer)
        share = 1 - np.mean(
            (x >= -0.5) & (y >= -0.5) & (x <= image.width - 0.5) & (y <= image.height - 0.5)
        )
        if share > 0:
            raise NoAnswer(
                f"cutout leaves the tile {image.path.name} in band {image.band} "
                f"({max(share, 0.01):.0%} of it)"
            )
        return x, y

    def _plane(self, image: SurveyImage) -> npt.NDArray[np.float32]:
        try:
            return self.source.pixels(image.path)[image.band]
        except InputError as error:
            raise NoAnswer(f"tile cannot be read: {error}") from error


def _pixels_in(image: SurveyImage, target: WCS, pixels: int, finer: int) -> tuple[Grid, Grid]:
    """Return the survey-image coordinates x and y of `finer`² points in each pixel of a cutout."""
    from astropy.wcs.utils import pixel_to_skycoord, skycoord_to_pixel

    steps = (np.arange(pixels * finer) + 0.5) / finer - 0.5
    columns, rows = np.meshgrid(steps, steps)
    x, y = skycoord_to_pixel(pixel_to_skycoord(columns, rows, target), image.world)
    return np.asarray(x), np.asarray(y)


def _points_per_pixel(x: Grid, y: Grid) -> int:
    """Return how many points on a side of a cutout's pixel have to be averaged, at least 1.

    Parameters
    ----------
    x, y : ndarray of float64
        Survey-image coordinates of the cutout's pixels, shape (pixels, pixels).
    """
    # measure the distance of neighbours at the galaxy: far from the reference point of its
    # projection, the pixels of a survey image have another size on the sky than the header says.
    # The median ignores the jump in x where a map of the whole sky begins again
    steps = [np.median(np.hypot(np.diff(x, axis=k), np.diff(y, axis=k))) for k in (0, 1)]
    return max(1, int(np.ceil(max(steps) - 0.01)))


def _sampled(plane: npt.NDArray[np.float32], x: Grid, y: Grid) -> Grid:
    """Interpolate a survey image linearly at points (x, y); NaN if a pixel next to one is bad."""
    from astropy.nddata import Cutout2D
    from scipy import ndimage

    # cut out the part of the survey image with all points: the part is converted to float64 below,
    # for which the whole image would need much memory
    low_x, low_y = np.floor(x.min()) - 1, np.floor(y.min()) - 1
    size = (int(np.ceil(y.max()) + 2 - low_y), int(np.ceil(x.max()) + 2 - low_x))
    centre = (low_x + (size[1] - 1) / 2, low_y + (size[0] - 1) / 2)
    part = Cutout2D(plane, centre, size, mode="trim")
    left, bottom = part.to_cutout_position((0, 0))
    whole_x, whole_y = np.rint(x), np.rint(y)
    if max(np.abs(x - whole_x).max(), np.abs(y - whole_y).max()) <= ON_GRID:
        rows, columns = (whole_y + bottom).astype(int), (whole_x + left).astype(int)
        return np.asarray(part.data[rows, columns], dtype=np.float64)
    inside_x = np.clip(x, 0, plane.shape[1] - 1) + left
    inside_y = np.clip(y, 0, plane.shape[0] - 1) + bottom
    return np.asarray(
        ndimage.map_coordinates(
            part.data.astype(np.float64), [inside_y, inside_x], order=1, mode="nearest"
        )
    )
