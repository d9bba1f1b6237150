"""Galaxies cut out of tiles of any orientation: the same galaxy, and what is not there is named."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import pixel_to_skycoord, skycoord_to_pixel
from verbs import called, gz

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.surveys.cutouts import CutoutReport
from gzfeatures.surveys.survey_images import SurveyImages
from gzfeatures.surveys.tiles import GalaxyCutter, cut_tiles

RA, DEC, SCALE, SIDE = 150.0, 30.0, 0.5, 240
TILT = 30.0
"""Position angle of the galaxy's long axis, degrees from north to east."""
TURN = np.radians(37)
MATRICES = {
    "straight": np.diag([-1.0, 1.0]),
    "turned": np.diag([-1.0, 1.0])
    @ np.array([[np.cos(TURN), -np.sin(TURN)], [np.sin(TURN), np.cos(TURN)]]),
    "mirrored": np.diag([1.0, 1.0]),
    "sheared": np.array([[-1.0, 0.35], [0.1, 1.05]]),
}


def world(matrix: np.ndarray, ra: float = RA, dec: float = DEC, scale: float = SCALE) -> WCS:
    result = WCS(naxis=2)
    result.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    # the tangent point is not the galaxy, which is off the middle of the tile too
    result.wcs.crval, result.wcs.crpix = [ra + 0.002, dec - 0.001], [SIDE / 2 + 3.3, SIDE / 2 - 5.2]
    result.wcs.cd = matrix * scale / 3600
    return result


def light(east: np.ndarray, north: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """An elongated galaxy with a companion on one side, arcsec from its middle; seen from above."""
    angle = np.radians(TILT)
    along = east * np.sin(angle) + north * np.cos(angle)
    across = east * np.cos(angle) - north * np.sin(angle)
    main = np.exp(-0.5 * ((along / 6) ** 2 + (across / 2.5) ** 2))
    return factor * (main + 0.3 * np.exp(-0.5 * ((east - 9) ** 2 + (north - 2) ** 2) / 2.0**2))


def tile(
    path: Path, where: WCS, band: str = "r", factor: float = 1.0, size: int = SIDE
) -> np.ndarray:
    """Draw the sky in a tile by the tile's own WCS."""
    columns, rows = np.meshgrid(np.arange(size), np.arange(size))
    sky = pixel_to_skycoord(columns, rows, where)
    east, north = SkyCoord(RA, DEC, unit="deg").spherical_offsets_to(sky)
    flux = light(east.to_value("arcsec"), north.to_value("arcsec"), factor).astype(np.float32)
    flux += 1e-4 * np.random.default_rng(0).normal(size=flux.shape).astype(np.float32)
    header = where.to_header()
    header["FILTER"] = band
    path.parent.mkdir(exist_ok=True)
    fits.PrimaryHDU(flux, header).writeto(path)
    return flux


def galaxies(*places: tuple[float, float]) -> Catalog:
    ra, dec = np.array(places).T
    return Catalog.of(
        pd.DataFrame({"galaxy_id": [f"g{k}" for k in range(len(ra))], "ra": ra, "dec": dec})
    )


def cut(catalog: Catalog, folder: Path, **options: object) -> CutoutReport:
    return cut_tiles(catalog, folder / "out", folder / "tiles", **{"pixels": 64, **options})


def shape(flux: np.ndarray) -> tuple[float, float, float]:
    """Centroid (pixels from the middle) and position angle of a north-up, east-left cutout."""
    rows, columns = np.indices(flux.shape) - (len(flux) - 1) / 2
    flux = np.where(np.hypot(rows, columns) < 14, flux, 0)
    total = flux.sum()
    x, y = (flux * columns).sum() / total, (flux * rows).sum() / total
    east, north = -(columns - x), rows - y
    xx, yy, xy = ((flux * each).sum() for each in (east**2, north**2, east * north))
    return float(x), float(y), float(np.degrees(0.5 * np.arctan2(2 * xy, yy - xx)))


@pytest.mark.parametrize("name", MATRICES)
def test_tiles_of_any_orientation_are_cut_to_the_same_galaxy(name: str, tmp_path: Path) -> None:
    tile(tmp_path / "tiles/a.fits", world(MATRICES[name]))
    report = cut(galaxies((RA, DEC)), tmp_path, scale=SCALE)
    assert report.failed == () and report.scale == "0.5 arcsec/px"
    flux, header = fits.getdata(tmp_path / "out/g0.fits", header=True)
    where = WCS(header, naxis=2)
    assert where.pixel_scale_matrix[0, 0] < 0 < where.pixel_scale_matrix[1, 1]
    x, y = skycoord_to_pixel(SkyCoord(RA, DEC, unit="deg"), where)
    assert max(abs(x - 31.5), abs(y - 31.5)) <= 0.51
    # what the sky is at the cutout's own pixels, whatever the tile's are
    columns, rows = np.meshgrid(np.arange(64), np.arange(64))
    sky = pixel_to_skycoord(columns, rows, where)
    offsets = SkyCoord(RA, DEC, unit="deg").spherical_offsets_to(sky)
    true = light(*(part.to_value("arcsec") for part in offsets))
    assert np.abs(flux[0] - true).max() < 0.02
    found, expected = shape(flux[0]), shape(true)
    assert found == pytest.approx(expected, abs=0.2) and abs(found[2] - TILT) < 6


def test_straight_tiles_are_cut_by_whole_pixels_without_interpolation(tmp_path: Path) -> None:
    where = world(MATRICES["straight"], scale=SCALE)
    drawn = tile(tmp_path / "tiles/a.fits", where)
    tile(tmp_path / "tiles/b.fits", where, "g", 2.0)
    assert cut(galaxies((RA, DEC)), tmp_path).failed == ()
    flux = fits.getdata(tmp_path / "out/g0.fits")
    x, y = skycoord_to_pixel(SkyCoord(RA, DEC, unit="deg"), where)
    left, bottom = (round(float(part) - 31.5) for part in (x, y))
    part = drawn[bottom : bottom + 64, left : left + 64]
    assert (flux[1] == part).all(), "bit for bit"


@pytest.mark.parametrize("pixels", [96, 520])
def test_a_large_cutout_is_interpolated_as_a_small_one(pixels: int, tmp_path: Path) -> None:
    """A plane of x and y is interpolated without error, and copied with one of up to half a pixel.

    The tile is turned by an angle that moves the corners of the larger cutout by 2.6 pixels.
    """
    turn = 0.01 if pixels > 96 else 0.05
    slight = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    where = world(np.diag([-1.0, 1.0]) @ slight)
    where.wcs.crpix = [300.0, 300.0]
    path = tmp_path / "tiles/a.fits"
    path.parent.mkdir()
    header = where.to_header()
    header["FILTER"] = "r"
    rows, columns = np.mgrid[:600, :600]
    fits.PrimaryHDU((columns + 1000 * rows).astype(np.float64), header).writeto(path)
    report = cut(galaxies((RA + 0.002, DEC - 0.001)), tmp_path, scale=SCALE, pixels=pixels)
    assert report.failed == ()
    flux, found = fits.getdata(tmp_path / "out/g0.fits", header=True)
    columns, rows = np.meshgrid(np.arange(pixels), np.arange(pixels))
    x, y = skycoord_to_pixel(pixel_to_skycoord(columns, rows, WCS(found, naxis=2)), where)
    assert np.abs(flux[0] - (x + 1000 * y)).max() < 0.05, "of float32: 0.03"


@pytest.mark.parametrize("pixels", [64, 520])
@pytest.mark.parametrize(("apart", "copied"), [(0.05, True), (0.3, False)])
def test_bands_share_a_grid_if_their_pixels_are_a_tenth_apart_at_most(
    pixels: int, apart: float, copied: bool, tmp_path: Path
) -> None:
    cutter = GalaxyCutter(SurveyImages(two_grids(tmp_path, apart)), ("g", "r"), pixels)
    cutout = fits.open(io.BytesIO(cutter.cut(RA + 0.002, DEC - 0.001, SCALE)))[0]
    place = WCS(cutout.header, naxis=2)
    for plane, moved in zip(cutout.data, (0.0, apart), strict=True):
        x, _ = skycoord_to_pixel(SkyCoord(RA + 0.002, DEC - 0.001, unit="deg"), place)
        middle = float(plane[pixels // 2, pixels // 2]) - pixels // 2
        # the tile's column under the cutout's column 0: whole if its pixels are copied
        true = 299.0 + moved - float(x)
        assert abs(middle - true) <= (0.051 if copied else 1e-3)
        assert (abs(middle - round(middle)) < 1e-6) == copied


def two_grids(folder: Path, apart: float) -> Path:
    """Write tiles in two bands whose pixels hold their column, and whose grids differ in x."""
    for band, moved in (("g", 0.0), ("r", apart)):
        where = world(MATRICES["straight"])
        where.wcs.crpix = [300.0 + moved, 300.0]
        header = where.to_header()
        header["FILTER"] = band
        columns = np.mgrid[:600, :600][1].astype(np.float32)
        fits.PrimaryHDU(columns, header).writeto(folder / f"{band}.fits")
    return folder


@pytest.mark.parametrize("moved", [(10.0, -4.0), (3.3, 0.6)])
@pytest.mark.parametrize("wide", [SIDE, SIDE + 30])
def test_bands_of_one_tile_stay_where_their_own_coordinates_put_them(
    moved: tuple[float, float], wide: int, tmp_path: Path
) -> None:
    """Dithered bands of one file are cut as those of separate files, also of other sizes."""
    dithered = world(MATRICES["straight"])
    dithered.wcs.crpix = dithered.wcs.crpix + moved
    units = [fits.PrimaryHDU()]
    for band, where, size in (
        ("g", dithered, SIDE), ("r", world(MATRICES["straight"]), SIDE),
        ("i", world(MATRICES["turned"]), wide),
    ):  # fmt: skip
        path = tmp_path / f"apart/tiles/{band}.fits"
        path.parent.mkdir(exist_ok=True, parents=True)
        flux = tile(path, where, band, size=size)
        units.append(fits.ImageHDU(flux, fits.getheader(path), name=band))
    (tmp_path / "one/tiles").mkdir(parents=True)
    fits.HDUList(units).writeto(tmp_path / "one/tiles/a.fits")
    for folder in ("apart", "one"):
        assert cut(galaxies((RA, DEC)), tmp_path / folder, scale=SCALE).failed == ()
    cubes = [fits.getdata(tmp_path / f"{folder}/out/g0.fits") for folder in ("apart", "one")]
    assert (cubes[0] == cubes[1]).all()
    g, r, i = map(shape, cubes[1])
    assert g == pytest.approx(r, abs=0.2) and i == pytest.approx(r, abs=0.2)


def test_a_scale_of_zero_is_refused_also_for_tiles(tmp_path: Path) -> None:
    tile(tmp_path / "tiles/a.fits", world(MATRICES["straight"]))
    with pytest.raises(InputError, match="must be above 0 arcsec per pixel, found 0"):
        cut(galaxies((RA, DEC)), tmp_path, scale=0)
    assert not (tmp_path / "out").exists()


def test_bands_of_several_tiles_become_one_cube_that_is_read_as_an_image(tmp_path: Path) -> None:
    for factor, (band, name) in enumerate(zip("gri", MATRICES, strict=False), start=1):
        tile(tmp_path / f"tiles/{band}.fits", world(MATRICES[name]), band, float(factor))
    report = cut(galaxies((RA, DEC)), tmp_path, scale=0.6)
    assert report.downloaded == 1
    flux, header = fits.getdata(tmp_path / "out/g0.fits", header=True)
    assert [header[f"BAND{k}"] for k in range(3)] == ["g", "r", "i"] and header["BANDS"] == "gri"
    for factor in (2, 3):
        assert np.abs(flux[factor - 1] - factor * flux[0]).max() < 0.06
    images = ImageSet.of(tmp_path / "out")
    assert images.ids.tolist() == ["g0"] and images.check().broken == ()
    assert images.pixels(0, View(size=32)).shape == (32, 32, 3)
    note = json.loads((tmp_path / "out/cutouts.json").read_text())
    assert note["survey"] == "tiles" and note["bands"] == "g,r,i"
    again = cut(galaxies((RA, DEC)), tmp_path, scale=0.6)
    assert (again.downloaded, again.already_there) == (0, 1)


def test_larger_pixels_are_means_of_the_tiles_pixels(tmp_path: Path) -> None:
    path = tmp_path / "tiles/a.fits"
    tile(path, world(MATRICES["turned"]))
    flux, header = fits.getdata(path, header=True)
    noise = np.random.default_rng(1).normal(size=flux.shape).astype(np.float32)
    fits.PrimaryHDU(noise, header).writeto(path, overwrite=True)
    assert cut(galaxies((RA, DEC)), tmp_path, scale=2.0, pixels=24).failed == ()
    assert fits.getdata(tmp_path / "out/g0.fits").std() < 0.35, "sixteen pixels in one"


def test_pixels_are_averaged_by_their_size_at_the_galaxy(tmp_path: Path) -> None:
    """In plate carrée, at dec 80°, pixels are a sixth as wide as the header says."""
    where = WCS(naxis=2)
    where.wcs.ctype, where.wcs.crval = ["RA---CAR", "DEC--CAR"], [10.0, 0.0]
    where.wcs.cdelt, where.wcs.crpix = [-4 / 3600, 4 / 3600], [300.0, 300 - 80 * 900.0]
    header = where.to_header()
    header["FILTER"] = "r"
    noise = np.random.default_rng(1).normal(size=(600, 600)).astype(np.float32)
    (tmp_path / "tiles").mkdir()
    fits.PrimaryHDU(noise, header).writeto(tmp_path / "tiles/a.fits")
    assert cut(galaxies((10.0, 80.0)), tmp_path).failed == ()
    assert fits.getdata(tmp_path / "out/g0.fits").std() < 0.4, "six pixels in one, else 0.6"


def test_a_cutout_far_larger_than_the_tile_takes_no_memory(tmp_path: Path) -> None:
    tile(tmp_path / "tiles/a.fits", world(MATRICES["straight"]))
    report = cut(galaxies((RA, DEC)), tmp_path, scale=600.0)
    assert "cutout leaves the tile" in report.failed[0][1]


def test_what_tiles_do_not_show_is_named_and_not_filled(tmp_path: Path) -> None:
    where = world(MATRICES["turned"])
    flux = tile(tmp_path / "tiles/a.fits", where)
    tile(tmp_path / "tiles/b.fits", where, "g")
    at = {
        "inside": (120, 120), "edge": (25, 120), "corner": (238, 238), "outside": (400, 120),
        "hole": (60, 180), "beside": (180, 60),
    }  # fmt: skip
    x, y = np.array(list(at.values()), dtype=float).T
    flux[170:190, 50:70] = np.nan  # more than a tenth of a small cutout, its middle too
    flux[58:63, 196:199] = np.nan  # some pixels at the margin of one
    header = fits.getheader(tmp_path / "tiles/a.fits")
    fits.PrimaryHDU(flux, header).writeto(tmp_path / "tiles/a.fits", overwrite=True)
    sky = pixel_to_skycoord(x, y, where)
    frame = pd.DataFrame({"galaxy_id": list(at), "ra": sky.ra.deg, "dec": sky.dec.deg})
    frame.loc[len(frame)] = ["nowhere", np.nan, 1.0]
    frame.loc[len(frame)] = ["antipode", RA + 180, -DEC]
    report = cut(Catalog.of(frame), tmp_path, scale=SCALE, pixels=48)
    failed = dict(report.failed)
    assert list(failed) == ["edge", "corner", "outside", "hole", "nowhere", "antipode"]
    assert "cutout leaves the tile" in failed["edge"] and "in band" in failed["corner"]
    for name in ("outside", "antipode"):
        assert failed[name] == "no tile of band g shows this position"
    assert "galaxy lies on bad pixels of a.fits in band r" in failed["hole"]
    assert failed["nowhere"] == "position is missing"
    cube = fits.getdata(tmp_path / "out/beside.fits")
    assert 0 < np.isnan(cube[1]).sum() < 60 and np.isfinite(cube[0]).all(), "bad pixels stay bad"
    assert np.isfinite(fits.getdata(tmp_path / "out/inside.fits")).all()
    assert not (tmp_path / "out/edge.fits").exists()


def test_of_overlapping_tiles_the_one_is_taken_that_shows_most(tmp_path: Path) -> None:
    straight = MATRICES["straight"]
    tile(tmp_path / "tiles/a.fits", world(straight, ra=RA + 100 * SCALE / 3600), factor=1.0)
    tile(tmp_path / "tiles/below/b.fits", world(straight), factor=2.0)
    assert cut(galaxies((RA, DEC)), tmp_path, scale=SCALE).failed == ()
    assert fits.getdata(tmp_path / "out/g0.fits").max() > 1.8


def test_tiles_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    here = galaxies((RA, DEC))
    (tmp_path / "tiles").mkdir()
    with pytest.raises(InputError, match="folder holds no tiles"):
        cut(here, tmp_path)
    path = tmp_path / "tiles/a.fits"
    tile(path, world(MATRICES["straight"]))
    tile(tmp_path / "tiles/a_wht.fits", world(MATRICES["straight"]))
    with pytest.raises(UnknownNameError, match="unknown band of the tiles; must be one of r"):
        cut(here, tmp_path, bands=("z",))
    tile(tmp_path / "tiles/fine.fits", world(MATRICES["straight"], scale=0.25), "z")
    with pytest.raises(InputError, match=r"tiles have several pixel scales.*0.25 to 0.5.*--scale"):
        cut(here, tmp_path)
    flux, header = fits.getdata(path, header=True)
    for word, why in (("FILTER", "tile has no band"), ("CTYPE1", "no celestial coordinates")):
        bare = header.copy()
        del bare[word]
        fits.PrimaryHDU(flux, bare).writeto(path, overwrite=True)
        with pytest.raises(InputError, match=f"{why}.*|.*{why}"):
            cut(here, tmp_path, scale=SCALE)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(InputError, match=r"a\.fits"):
        cut(here, tmp_path, scale=SCALE)


def test_the_verb_cuts_tiles_and_refuses_options_of_surveys(tmp_path: Path) -> None:
    tile(tmp_path / "tiles/a.fits", world(MATRICES["mirrored"]))
    catalog = tmp_path / "c.csv"
    catalog.write_text(f"objid,ra,dec\n7,{RA},{DEC}\n8,10,10\n")
    words = ["cutouts", catalog, "--tiles", tmp_path / "tiles", "-o", tmp_path / "images"]
    result = gz(*words, "--bands", "r", "--pixels", 32)
    assert result["downloaded"] == 1 and result["failed"][0]["id"] == "8"
    assert (tmp_path / "images/7.fits").exists()
    assert called(*words, "--survey", "sdss").returncode == 2
    assert called("cutouts", catalog, "-o", tmp_path / "x", "--bands", "r").returncode == 2
