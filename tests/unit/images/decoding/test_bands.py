"""Bands: known by name, cut by position, stretched by rules with a source, and reported when they
are bad."""

from __future__ import annotations

import gzip
import io
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.visualization import make_lupton_rgb
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gzfeatures.errors import GzError, InputError
from gzfeatures.images.decode import Decoder
from gzfeatures.images.decoding.alignment import mirrored
from gzfeatures.images.decoding.bad_pixels import unobserved
from gzfeatures.images.decoding.band_files import read_fits, read_npy, read_npz, stacked
from gzfeatures.images.decoding.bands import Bands
from gzfeatures.images.decoding.bundle import bundle, npy
from gzfeatures.images.decoding.stretches import STRETCHES, Background, lupton
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.reading import Reading
from gzfeatures.images.view import View

SIDE, SCALE = 40, 0.4
LIMIT = 1_000_000


def sky(seed: int = 0, bands: int = 3) -> np.ndarray:
    """A round galaxy off the centre, redder in the later planes, on noise."""
    y, x = np.mgrid[:SIDE, :SIDE]
    light = 100 * np.exp(-np.hypot(x - 26, y - 12) / 4)
    noise = np.random.default_rng(seed).normal(0, 1, (bands, SIDE, SIDE))
    return (light * np.arange(1, bands + 1)[:, None, None] + noise).astype(np.float32)


def header(ra: float = 150.0, dec: float = 2.0, **cards: object) -> fits.Header:
    world = WCS(naxis=2)
    world.wcs.ctype, world.wcs.crval = ["RA---TAN", "DEC--TAN"], [ra, dec]
    world.wcs.crpix, world.wcs.cdelt = [SIDE / 2 + 0.5] * 2, [-SCALE / 3600, SCALE / 3600]
    result = world.to_header()
    result.update(cards)
    return result


def cube(flux: np.ndarray, **cards: object) -> bytes:
    file = io.BytesIO()
    fits.PrimaryHDU(flux, header(**cards)).writeto(file)
    return file.getvalue()


def read(data: bytes, names: tuple[str, ...] | None = None) -> Bands:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_fits(data, where="a.fits", max_pixels=LIMIT, names=names)


def test_a_cube_names_its_bands_in_the_header() -> None:
    flux = sky()
    for cards in ({"BANDS": "grz"}, {"BANDS": "g,r,z"}, {"BAND0": "g", "BAND1": "r", "BAND2": "z"}):
        bands = read(cube(flux, **cards))
        assert bands.names == ("g", "r", "z") and (bands.flux == flux).all() and not bands.bad.any()
        assert (bands.select(["z", "g"]).flux == flux[[2, 0]]).all()


def test_the_order_of_planes_changes_nothing() -> None:
    flux = sky()
    straight = read(cube(flux, BANDS="gri")).render()
    turned = read(cube(flux[[1, 2, 0]], BANDS="rig")).render()
    assert (straight == turned).all()


def test_a_cube_without_names_needs_them_and_does_not_contradict_them() -> None:
    with pytest.raises(
        InputError, match=r"a\.fits: bands are not named; must have a name for each of 3 planes"
    ):
        read(cube(sky()))
    assert read(cube(sky()), ("g", "r", "i")).names == ("g", "r", "i")
    with pytest.raises(
        InputError,
        match=r"bands of the file are not those named; must be .*'r', 'g', 'z'.*found .*'g', "
        r"'r', 'z'",
    ):
        read(cube(sky(), BANDS="grz"), ("r", "g", "z"))
    with pytest.raises(InputError, match="bands are not named"):
        read(cube(sky(), BANDS="gr"))


def test_a_band_named_twice_or_not_there() -> None:
    with pytest.raises(InputError, match="bands; must be named once each, found g, g, r"):
        read(cube(sky(), BANDS="ggr"))
    with pytest.raises(InputError, match="no band i; must be one of g, r, z, found i"):
        read(cube(sky(), BANDS="grz")).select(["i"])
    with pytest.raises(InputError, match=r"bands; must have shape \(bands, height, width\)"):
        Bands(("g",), np.zeros((2, 3, 3), np.float32), np.zeros((2, 3, 3), bool))


def test_extensions_are_bands_and_their_weights_mark_bad_pixels() -> None:
    flux, units = sky(), [fits.PrimaryHDU()]
    for band, plane in zip("grz", flux, strict=True):
        weight = np.ones((SIDE, SIDE), np.float32)
        weight[0, : "grz".index(band) + 1] = 0
        units += [
            fits.ImageHDU(plane, header(IMAGETYP="image", BAND=band)),
            fits.ImageHDU(weight, header(IMAGETYP="invvar", BAND=band)),
        ]
    file = io.BytesIO()
    fits.HDUList(units).writeto(file)
    bands = read(file.getvalue())
    assert bands.names == ("g", "r", "z") and bands.bad.sum(axis=(1, 2)).tolist() == [1, 2, 3]


def test_compressed_and_integer_fits_are_read() -> None:
    flux = sky()
    assert (read(gzip.compress(cube(flux, BANDS="grz"))).flux == flux).all()
    whole = (flux[0] * 10).astype(np.int16)
    bands = read(cube(whole, FILTER="r"))
    assert bands.names == ("r",) and (bands.flux[0] == whole).all() and not bands.bad.any()
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(whole, header(FILTER="r"))]).writeto(file)
    assert (read(file.getvalue()).flux[0] == whole).all()


def test_one_file_per_band_is_one_galaxy(tmp_path: Path) -> None:
    flux = sky()
    for galaxy, mark in (("PGC1", "_"), ("PGC2", "-"), ("PGC3", ".")):
        for band, plane in zip("gri", flux, strict=True):
            (tmp_path / f"{galaxy}{mark}{band}.fits").write_bytes(cube(plane))
    images = ImageSet.of(tmp_path)
    assert images.ids.tolist() == ["PGC1", "PGC2", "PGC3"]
    assert images.check().broken == ()
    assert len(set(images.digests())) == 1, "neither id nor file name is in the digest"
    expected = read(cube(flux, BANDS="gri")).render(["i", "r", "g"])
    assert (images.pixels(0, View(size=SIDE)) == expected).all()


def test_a_file_name_that_contradicts_the_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "PGC1_r.fits").write_bytes(cube(sky()[0], FILTER="i"))
    broken = ImageSet.of(tmp_path).check().broken
    assert broken == (
        ("PGC1", "bands of the file are not those named; must be ('r',), found ('i',)"),
    )


def test_bands_of_different_shapes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a_g.fits").write_bytes(cube(sky()[0]))
    (tmp_path / "a_r.fits").write_bytes(cube(sky()[0][:30]))
    assert (
        ImageSet.of(tmp_path)
        .check()
        .broken[0][1]
        .startswith("bands differ in shape, found g (40, 40), r (30, 40)")
    )
    file = io.BytesIO()
    fits.HDUList(
        [fits.PrimaryHDU(sky()[0], header(BAND="g")), fits.ImageHDU(sky()[0][:9], header(BAND="r"))]
    ).writeto(file)
    with pytest.raises(InputError, match="bands differ in shape"):
        read(file.getvalue())


def test_a_picture_beside_its_bands_is_refused_until_one_is_preferred(tmp_path: Path) -> None:
    shown = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(shown).save(tmp_path / "a.png")
    for name in ("a.fits", "a_g.fits"):
        (tmp_path / name).write_bytes(
            cube(sky(), BANDS="gri") if name == "a.fits" else cube(sky()[0])
        )
        with pytest.raises(
            InputError,
            match=rf"a picture and bands.*found a\.png and {name}; .*--prefer picture or",
        ):
            ImageSet.of(tmp_path)
        picture = ImageSet.of(tmp_path, reading=Reading(prefer="picture"))
        assert (picture.pixels(0, View(size=SIDE)) == shown).all()
        with pytest.raises(
            InputError,
            match=r"a\.png: view asks for bands of a picture; leave bands and stretch out",
        ):
            picture.pixels(0, View(bands=("i", "r", "g")))
        bands = ImageSet.of(tmp_path, reading=Reading(prefer="bands"))
        assert (bands.pixels(0, View(size=SIDE)) != shown).any()
        assert (bands.pixels(0, View(size=SIDE, stretch="engel")) != shown).any()
        (tmp_path / name).unlink()
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.png").read_bytes())
    with pytest.raises(
        InputError, match=r"two files are images of one galaxy.*found a\.jpg and a\.png"
    ):
        ImageSet.of(tmp_path, reading=Reading(prefer="picture"))


def test_npz_names_its_bands_and_npy_is_named_by_the_caller(tmp_path: Path) -> None:
    flux = sky(bands=5)
    np.savez(tmp_path / "a.npz", images=flux, filters=np.asarray(list("grizy")), psfs=np.zeros(3))
    np.save(tmp_path / "b.npy", flux)
    with pytest.raises(
        InputError,
        match=r"a\.npz: bands of the view are not chosen; must be some of g, r, i, z, y; name .* "
        r"bands=i\+r\+g",
    ):
        ImageSet.of(tmp_path / "a.npz").pixels(0, View())
    named, unnamed = (
        ImageSet.of(tmp_path / "a.npz"),
        ImageSet.of(tmp_path / "b.npy", bands=tuple("grizy")),
    )
    view = View(size=SIDE, bands=("i", "r", "g"))
    assert (named.pixels(0, view) == unnamed.pixels(0, view)).all()
    assert named.pixels(0, View(size=16, bands=tuple("grizy"))).shape == (16, 16, 5)
    assert named.pixels(0, View(size=16, bands=("z",))).shape == (16, 16, 1)
    with pytest.raises(InputError, match=r"b\.npy: bands are not named"):
        ImageSet.of(tmp_path / "b.npy").pixels(0, view)


def test_npz_without_an_image_or_with_objects() -> None:
    with pytest.raises(
        InputError, match="npz file holds no image; must have an array 'images', found psfs"
    ):
        read_npz({"psfs.npy": npy(np.zeros(3))}, where="a.npz", max_pixels=LIMIT)
    file = io.BytesIO()
    np.save(file, np.asarray([{"evil": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="array is damaged, found object of shape"):
        read_npy(file.getvalue(), where="a.npy", max_pixels=LIMIT, names=("g",))
    with pytest.raises(InputError, match="array is no image"):
        read_npy(npy(np.zeros((2, 2, 2, 2, 2))), where="a.npy", max_pixels=LIMIT)
    with pytest.raises(InputError, match="array is truncated; must hold 6400 B"):
        read_npy(npy(np.zeros((20, 40)))[:-100], where="a.npy", max_pixels=LIMIT)


def test_one_band_is_grey_and_three_go_from_long_to_short() -> None:
    one = read(cube(sky()[0])).render()
    assert one.shape == (SIDE, SIDE, 3) and (one[..., :1] == one).all()
    bands = read(cube(sky(), BANDS="grz"))
    assert (bands.render() == bands.render(["z", "r", "g"])).all()
    assert bands.render()[27, 26, 0] > bands.render()[27, 26, 2], "the galaxy is red"


def test_fits_rows_are_counted_from_below() -> None:
    shown = read(cube(sky(), BANDS="grz")).render()
    brightest = np.unravel_index(shown.sum(axis=2).argmax(), shown.shape[:2])
    assert abs(brightest[0] - (SIDE - 1 - 12)) <= 1 and abs(brightest[1] - 26) <= 1


def test_bad_pixels_and_blank_bands_are_reported() -> None:
    flux = sky()
    flux[0, :10], flux[1, 0, 0], flux[2] = np.nan, np.inf, 0
    bands = read(cube(flux, BANDS="grz"))
    assert bands.faults() == ["band g has 25.0% bad pixels", "band z is blank"]
    with pytest.raises(InputError, match="band z is blank; must hold more than one value"):
        bands.render()
    shown = bands.render(["g"])
    assert (shown[-10:] == 0).all() and shown[:-10].any(), "bad pixels are black"
    assert read(cube(np.full((3, 9, 9), np.nan, np.float32), BANDS="grz")).faults() == [
        "band g is blank",
        "band r is blank",
        "band z is blank",
    ]


def test_fill_of_exact_zeros_counts_as_bad_in_integers_as_in_floats() -> None:
    flux = sky()
    flux[:, :, :10] = 0
    assert read(cube(flux, BANDS="grz")).bad.mean() == 0.25
    counts = (flux * 100).astype(np.int16)
    bad = read(cube(counts, BANDS="grz")).bad
    assert bad[:, :, :10].all() and bad[:, :, 12:].mean() < 0.01
    assert (bad == read(cube(counts.astype(np.float32), BANDS="grz")).bad).all()


def test_a_cut_is_centred_on_the_sky_and_has_the_angular_size() -> None:
    bands = read(cube(sky(), BANDS="grz"))
    place = WCS(bands.header, naxis=2).pixel_to_world(26, 12)
    cut = bands.cut(place.ra.deg, place.dec.deg, 11 * SCALE)
    assert cut.flux.shape == (3, 11, 11) and (cut.flux == bands.flux[:, 7:18, 21:32]).all()
    assert np.unravel_index(cut.flux[0].argmax(), (11, 11)) == (5, 5)
    again = WCS(cut.header).pixel_to_world(5, 5)
    assert again.separation(place).arcsec < 1e-3


def test_a_cut_over_the_edge_is_marked_and_one_off_the_image_refused() -> None:
    bands = read(cube(sky(), BANDS="grz"))
    corner = WCS(bands.header, naxis=2).pixel_to_world(0, 0)
    cut = bands.cut(corner.ra.deg, corner.dec.deg, 20 * SCALE)
    assert (
        cut.flux.shape == (3, 20, 20) and cut.bad.mean() > 0.6 and np.isnan(cut.flux[cut.bad]).all()
    )
    assert cut.faults()[0].endswith("bad pixels")
    with pytest.raises(InputError, match=r"cut lies off the image, found ra 10\.0"):
        bands.cut(10.0, 2.0, 4.0)
    with pytest.raises(InputError, match="image has no celestial coordinates"):
        Bands(("g",), sky()[:1], np.zeros((1, SIDE, SIDE), bool)).cut(150, 2, 4)
    file = io.BytesIO()
    fits.PrimaryHDU(sky()[0]).writeto(file)
    with pytest.raises(InputError, match="image has no celestial coordinates"):
        read(file.getvalue()).cut(150, 2, 4)


# Stretches


@pytest.mark.parametrize("scale", [0.5, 5.0, 50.0])
def test_lupton_is_the_formula_astropy_has(scale: float) -> None:
    flux = np.moveaxis(sky(), 0, 0).astype(np.float64)
    ours = lupton(flux, flux.mean(axis=0), softening=8.0, scale=scale)
    theirs = make_lupton_rgb(*flux, stretch=scale, Q=8)
    assert np.abs(np.moveaxis(ours, 0, 2).astype(int) - theirs).max() <= 1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.floats(1e-4, 1e4), st.integers(0, 100))
def test_lupton_does_not_depend_on_the_unit_of_flux(unit: float, seed: int) -> None:
    flux = sky(seed).astype(np.float64)
    difference = STRETCHES["lupton"](flux).astype(int) - STRETCHES["lupton"](flux * unit + unit)
    assert np.abs(difference).max() <= 1


def test_lupton_keeps_the_colour_of_saturated_pixels() -> None:
    flux = np.stack([np.random.default_rng(k).normal(0, 1, (20, 20)) for k in range(3)])
    flux[:, 10, 10] = np.asarray([4.0, 2.0, 1.0]) * 1e6
    shown = STRETCHES["lupton"](flux)[:, 10, 10].astype(float)
    assert shown[0] == 255 and shown[0] / shown[1] == pytest.approx(2, abs=0.05)


def test_engel_stretches_each_band_from_its_lower_half() -> None:
    flux = sky()[:1].astype(np.float64)
    lower = np.sort(flux.ravel())[: flux.size // 2]
    low, high = lower.mean() - lower.std(), lower.mean() + 5 * lower.std()
    expected = (np.clip((flux - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    assert (STRETCHES["engel"](flux) == expected).all()
    assert STRETCHES["engel"] == Background(below=1.0, above=5.0)


@pytest.mark.parametrize("name", STRETCHES)
def test_every_stretch_leaves_bad_pixels_out_and_draws_them_black(name: str) -> None:
    flux = sky().astype(np.float64)
    holed = flux.copy()
    holed[:, 30:, 30:] = np.nan
    shown = STRETCHES[name](holed)
    assert shown.dtype == np.uint8 and shown.shape == flux.shape and (shown[:, 30:, 30:] == 0).all()
    flat = np.zeros((3, 9, 9))
    flat[:, 4, 4] = 1
    assert STRETCHES[name](flat)[:, 4, 4].min() > 0, "noise-free images are drawn too"


# Hostile and damaged files


def test_a_header_that_claims_a_huge_image_is_refused_before_decoding() -> None:
    data = cube(sky(), BANDS="grz").replace(
        b"NAXIS1  =                   40", b"NAXIS1  =             40000000"
    )
    start = time.perf_counter()
    with pytest.raises(
        InputError,
        match=r"image is too large to decode; must hold at most 1,000,000 pixels, found \(3, 40, "
        r"40000000\)",
    ):
        read(data)
    assert time.perf_counter() - start < 0.5


def test_a_gzip_bomb_is_refused() -> None:
    with pytest.raises(InputError, match="image is too large to unpack"):
        read(gzip.compress(bytes(20_000_000)))


def test_a_truncated_file_says_how_much_is_missing() -> None:
    data = cube(sky(), BANDS="grz")
    with pytest.raises(InputError, match=r"image is truncated; must hold \d+ bytes, found 14400"):
        read(data[:14400])
    with pytest.raises(InputError, match="image is truncated or damaged"):
        read(gzip.compress(data)[:-500])


def test_a_fits_file_without_an_image() -> None:
    file = io.BytesIO()
    fits.PrimaryHDU().writeto(file)
    with pytest.raises(
        InputError, match="FITS file holds no image; must have a plane or cube of pixels"
    ):
        read(file.getvalue())


def test_a_parcel_bomb_is_refused() -> None:
    data = bundle({"g": bytes(17_000_000)})
    with pytest.raises(InputError, match="image is too large to unpack"):
        Decoder(data, "a", LIMIT).see(View())


WHOLE = {
    "cube": cube(sky(), BANDS="grz"),
    "plane": cube(sky()[0]),
    "gzip": gzip.compress(cube(sky()[:, :9, :9], BANDS="grz")),
    "npz": bundle({"images.npy": npy(sky()), "filters.npy": npy(np.asarray(list("grz")))}),
    "npy": npy(sky()[0]),
    "parcel": bundle(
        {band: cube(plane[:12, :12]) for band, plane in zip("grz", sky(), strict=True)}
    ),
}


@pytest.mark.parametrize("form", WHOLE)
def test_damaged_files_of_bands_never_end_in_a_traceback(form: str) -> None:
    whole = WHOLE[form]
    head = min(len(whole), 3000)

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        st.lists(st.tuples(st.integers(0, head - 1), st.integers(0, 255)), max_size=6),
        st.none() | st.integers(0, len(whole)),
    )
    def check(flips: list[tuple[int, int]], cut: int | None) -> None:
        data = bytearray(whole)
        for place, value in flips:
            data[place] = value
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            contents = Decoder(bytes(data[:cut]), "fuzzed", LIMIT)
            assert all("\n" not in line for line in contents.faults())
            try:
                assert contents.see(View(size=16)).dtype == np.uint8
            except GzError as error:
                assert "\n" not in str(error)
        assert time.perf_counter() - start < 5

    check()


@pytest.mark.data
def test_every_real_multi_band_image_loads_and_the_broken_ones_are_reported(
    shared_data: Path,
) -> None:
    folder = shared_data / "multiband"
    for name in ("efigi_gri", "decals_grz", "decals_grz_pysersic"):
        images = ImageSet.of(folder / name, reading=Reading(prefer="bands"))
        for row in range(len(images)):
            for stretch in STRETCHES:
                pixels = images.pixels(row, View(size=64, stretch=stretch))
                assert pixels.shape == (64, 64, 3) and pixels.std() > 1
        assert len(images) == (15 if name == "efigi_gri" else len(images))
    report = ImageSet.of(folder / "decals_grz").check()
    assert [name for name, _ in report.broken] == ["willettk_example_bad_pix"]
    assert "bad pixels" in report.broken[0][1]
    assert (
        ImageSet.of(folder / "hsc_grizy_scarlet")
        .pixels(0, View(size=32, bands=("i", "r", "g")))
        .std()
        > 1
    )
    broken = ImageSet.of(folder / "broken").check()
    assert broken.readable == 2 and len(broken.broken) == 2
    assert all(
        reason.startswith("image is truncated; must hold 2160192 bytes")
        for _, reason in broken.broken
    )


@pytest.mark.data
def test_rendered_bands_lie_as_the_published_picture(shared_data: Path) -> None:
    folder = shared_data / "multiband" / "efigi_gri"
    pictures, images = (
        ImageSet.of(folder, reading=Reading(prefer=kind)) for kind in ("picture", "bands")
    )
    agree, behind = 0, []
    for row, name in enumerate(images.ids):
        picture = pictures.pixels(row, View(size=64, grey=True))[..., 0].astype(float)
        ours = images.pixels(row, View(size=64, grey=True, stretch="lupton"))[..., 0].astype(float)
        turned = [
            np.corrcoef(picture.ravel(), side.ravel())[0, 1]
            for side in (ours, ours[::-1], ours[:, ::-1])
        ]
        header = read_fits(
            (folder / f"{name}_g.fits").read_bytes(), where=name, max_pixels=LIMIT
        ).header
        behind += [name] if mirrored(header) else []
        agree += int(turned[2 if mirrored(header) else 0] > max(turned) - 0.02)
    assert agree == len(images), "neither mirrored nor upside down"
    assert behind == ["PGC0000670"], (
        "its axes are north and west, so that the published picture is a mirror image"
    )


@pytest.mark.data
def test_a_real_image_is_cut_by_its_catalog_position(shared_data: Path) -> None:
    path = shared_data / "multiband" / "decals_grz" / "willettk_example_a.fits"
    bands = read_fits(path.read_bytes(), where=path, max_pixels=LIMIT)
    cut = bands.cut(146.714208787, -1.04128156958, 20.0)
    assert cut.names == ("g", "r", "z") and cut.flux.shape[1:] == (200, 200) and not cut.bad.any()
    peak = np.unravel_index(cut.flux.mean(axis=0).argmax(), (200, 200))
    assert np.hypot(peak[0] - 99.5, peak[1] - 99.5) < 5, "the galaxy is in the middle"


def test_stacked_bands_keep_their_names() -> None:
    parts = [read(cube(plane, FILTER=band)) for band, plane in zip("gr", sky(), strict=False)]
    assert stacked(parts, where="a").names == ("g", "r")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("side", [64, 256])
@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_a_sky_of_few_photons_is_no_bad_area_and_an_area_beside_it_is_found(
    share: float, side: int, kind: type
) -> None:
    counts = np.random.default_rng(0).poisson(-np.log(share), (side, side)).astype(kind)
    assert unobserved(counts).mean() < 0.001
    third = side // 3
    counts[:, :third] = 0
    bad = unobserved(counts)
    # a third of 64 pixels is hardly wider than a square of zeros that .95 of them make by
    # themselves
    assert bad[:, third:].mean() < 0.1 and ((share, side) == (0.95, 64) or bad[:, :third].all())
