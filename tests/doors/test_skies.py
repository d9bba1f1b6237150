"""FITS as surveys write them: which files are one galaxy, which plane is the image, what is bad,
how the sky lies."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.images.decoding.band_files import read_fits
from gzfeatures.images.decoding.bands import Bands
from gzfeatures.images.decoding.filters import alike, canonical, split, wavelength
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.reading import Reading
from gzfeatures.images.view import View

SIDE = 64
VIEW = View(size=SIDE)


def sky(dx: float = 0.0, dy: float = 0.0, seed: int = 0, size: float = 4.0) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    light = 100 * np.exp(-np.hypot(x - dx, y - dy) / size)
    return (light + np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE))).astype(np.float32)


def place(dx: float = 0.0, dy: float = 0.0, **cards: Any) -> fits.Header:
    """Header of an image whose galaxy (150°, 2°) lies (dx, dy) pixels off the middle."""
    world = WCS(naxis=2)
    scale, turn, ra, east = (
        cards.pop(k, v) for k, v in (("scale", 0.4), ("turn", 0), ("ra", 150), ("east", -1))
    )
    world.wcs.ctype, world.wcs.crval = ["RA---TAN", "DEC--TAN"], [ra, 2]
    world.wcs.crpix = [(SIDE + 1) / 2 + dx, (SIDE + 1) / 2 + dy]
    angle = np.deg2rad(turn)
    spin = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    world.wcs.cd = np.diag([east * scale, scale]) @ spin / 3600
    header = world.to_header()
    header.update(cards)
    return header


def file_of(*units: Any) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList(list(units)).writeto(buffer)
    return buffer.getvalue()


def plane(values: np.ndarray, header: fits.Header | None = None, **cards: Any) -> bytes:
    header = place() if header is None else header
    header.update(cards)
    return file_of(fits.PrimaryHDU(values, header))


def read(data: bytes, **options: Any) -> Bands:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_fits(data, where="a.fits", max_pixels=10**6, **options)


# Which files are one galaxy

NAMES = {
    "PGC0000212_g": ("PGC0000212", "g", True),
    "36411448540271969_HSC-G": ("36411448540271969", "HSC-G", True),
    "1237_hsc_r": ("1237", "HSC-R", True),
    "gal_F200W": ("gal", "F200W", True),
    "gal-f115w": ("gal", "F115W", True),
    "gal_f444w_i2d": ("gal", "F444W", True),
    "EUC_1_NIR_Y": ("EUC_1", "NIR_Y", True),
    "EUC_1_VIS": ("EUC_1", "VIS", True),
    "EUC_1_NISP-H": ("EUC_1", "NIR_H", True),
    "m51_sdss_i": ("m51", "SDSS-I", True),
    "2-cutout-HSC-G-9813-pdr2": ("2-cutout-9813-pdr2", "HSC-G", False),
    "F200W_17": ("17", "F200W", False),
    "ugc_J": ("ugc", "J", False),
    "g_17": ("17", "g", False),
    "m51_r_big": ("m51_big", "r", False),
    "ugc_Ks": ("ugc", "Ks", True),
    "m51": None,
    "g": None,
    "1237648720693755918": None,
    "spiral_galaxy": None,
}


@pytest.mark.parametrize("stem", NAMES)
def test_bands_are_known_by_the_names_surveys_give_files(stem: str) -> None:
    assert split(stem) == NAMES[stem]


def test_names_of_filters_in_headers_and_files_mean_the_same() -> None:
    for one, other in (
        ("r", "HSC-R"),
        ("HSC-G", "hsc_g"),
        ("VIS", "vis"),
        ("NIR_Y", "NISP_Y"),
        ("f814w", "F814W"),
    ):
        assert alike(one, other)
    for one, other in (
        ("HSC-R", "HSC-I"),
        ("r", "i"),
        ("HSC-R", "SDSS-R"),
        ("F115W", "F150W"),
        ("VIS", "r"),
    ):
        assert not alike(one, other)
    assert canonical("r DECam SDSS c0002 6415.0 1480.0") == "r" and canonical("g.MP9402") == "g"
    order = [
        "FUV",
        "u",
        "HSC-G",
        "F606W",
        "VIS",
        "F850LP",
        "NIR_Y",
        "F115W",
        "F160W",
        "Ks",
        "F277W",
        "F444W",
        "W1",
    ]
    assert sorted(order, key=lambda name: wavelength(name) or 0.0) == order or wavelength(
        "W1"
    ) < wavelength("F444W")
    assert (
        wavelength("F770W") == 7700
        and wavelength("F775W") == 775
        and wavelength("unheard of") is None
    )


IN_NANOMETRES = {
    # JWST User Documentation: NIRCam Filters, NIRISS Filters, MIRI Filters (pivot wavelengths)
    "F070W": 704, "F090W": 902, "F115W": 1154, "F140M": 1405, "F150W": 1501, "F162M": 1627,
    "F164N": 1645, "F150W2": 1659, "F182M": 1845, "F187N": 1874, "F200W": 1989, "F210M": 2095,
    "F212N": 2121, "F250M": 2503, "F277W": 2762, "F300M": 2989, "F322W2": 3232, "F323N": 3237,
    "F335M": 3362, "F356W": 3568, "F360M": 3624, "F405N": 4052, "F410M": 4082, "F430M": 4281,
    "F444W": 4404, "F460M": 4630, "F466N": 4654, "F470N": 4708, "F480M": 4818, "F158M": 1582,
    "F380M": 3828, "F560W": 5600, "F770W": 7700, "F1000W": 10000, "F1130W": 11300,
    "F1280W": 12800, "F1500W": 15000, "F1800W": 18000, "F2100W": 21000, "F2550W": 25500,
    # WFC3 Instrument Handbook, tables 6.2 and 7.2, and ACS Instrument Handbook, table 5.1
    "F200LP": 490, "F218W": 223, "F225W": 237, "F275W": 271, "F300X": 282, "F336W": 335,
    "F343N": 344, "F350LP": 585, "F390M": 390, "F390W": 392, "F435W": 433, "F438W": 433,
    "F475W": 477, "F475X": 494, "F502N": 501, "F555W": 531, "F600LP": 747, "F606W": 589,
    "F625W": 624, "F656N": 656, "F775W": 765, "F814W": 803, "F850LP": 915, "F953N": 953,
    "F098M": 986, "F105W": 1055, "F110W": 1153, "F125W": 1249, "F126N": 1259, "F127M": 1274,
    "F139M": 1384, "F140W": 1392, "F153M": 1532, "F160W": 1537, "F167N": 1664, "F122M": 127,
    "F222M": 2218, "F1042M": 1044,
}  # fmt: skip


@pytest.mark.parametrize("name", IN_NANOMETRES)
def test_filters_of_hubble_and_webb_lie_at_their_wavelength(name: str) -> None:
    assert wavelength(name) == pytest.approx(IN_NANOMETRES[name], rel=0.11)
    assert wavelength(name.lower()) == wavelength(name)


def test_narrow_filters_of_webb_are_ordered_by_wavelength() -> None:
    for names in (("F150W", "F212N", "F277W"), ("F162M", "F323N", "F356W"),
                  ("F200LP", "F814W", "F160W"), ("F115W", "F380M", "F480M")):  # fmt: skip
        assert sorted(names, key=lambda name: wavelength(name) or 0.0) == list(names)
        levels = {name: 10 + 20 * rank for rank, name in enumerate(names)}
        units = [fits.ImageHDU(sky() * level, place(), name=name) for name, level in levels.items()]
        red, green, blue = read(file_of(fits.PrimaryHDU(), *units)).render()[SIDE // 2, SIDE // 2]
        assert int(red) > green > blue
    assert wavelength("F999W") is None, "of a filter that no list has nothing is guessed"


@pytest.mark.parametrize(
    ("text", "name"),
    [("H alpha", None), ("H beta", None), ("H.alpha", None), ("H II", None), ("H α", None),
     ("Hα", None), ("Halpha", None), ("H-alpha", None), ("K s", "Ks"), ("K short", "Ks"),
     ("g prime", "g"), ("g'", "g"), ("H 2MASS", "H"), ("H", "H"), ("i MP9703", "i"),
     ("r PI", "r"), ("g Pi", "g"), ("r.iii", "r"), ("z.I", "z")],
)  # fmt: skip
def test_a_spectral_line_is_no_band(text: str, name: str | None) -> None:
    assert canonical(text) == name


@pytest.mark.parametrize(
    ("cards", "name"),
    [({"FILTER": "F444W", "PUPIL": "F405N"}, "F405N"), ({"FILTER": "F150W2", "PUPIL": "F162M"},
     "F162M"), ({"FILTER": "F444W", "PUPIL": "CLEAR"}, "F444W"), ({"FILTER": "F356W", "PUPIL":
     "GRISMR"}, "F356W"), ({"FILTER": "F210M", "PUPIL": "MASKRND"}, "F210M"),
     ({"FILTER": "CLEAR", "PUPIL": "F150W"}, "F150W")],
)  # fmt: skip
def test_light_through_webbs_pupil_wheel_is_of_the_filter_there(
    cards: dict[str, str], name: str
) -> None:
    assert read(plane(sky(), **cards)).names == (name,)
    first = fits.Header(cards)
    assert read(extensions(("SCI", sky()), first=first)).names == (name,)
    assert split("jw01_nircam_f405n-f444w_i2d") == ("jw01_nircam", "F405N", True)


@pytest.mark.parametrize(
    ("form", "bands"),
    [("3641144854027196{k}_{b}", ("HSC-G", "HSC-R", "HSC-I")),
     ("gal{k}_{b}", ("F115W", "F200W", "F444W")),
     ("EUC_{k}_{b}", ("VIS", "NIR_Y", "NIR_H")),
     ("{k}-cutout-{b}-9813", ("HSC-G", "HSC-R", "HSC-Z")),
     ("{b}_{k}", ("F606W", "F814W", "F160W")), ("{b}_{k}", ("g", "r", "z")),
     ("n{k}_{b}", ("G", "R", "I")), ("2masx{k}_{b}", ("J", "H", "Ks"))],
)  # fmt: skip
@pytest.mark.parametrize("ending", [".fits", ".fits.gz", ".fits.fz", ".npy"])
def test_files_of_bands_are_galaxies_and_red_is_the_longest(
    form: str, bands: tuple[str, ...], ending: str, tmp_path: Path
) -> None:
    for k in range(2):
        for rank, band in enumerate(bands):
            flux, path = sky(seed=rank) * (1 + rank), tmp_path / (form.format(k=k, b=band) + ending)
            if ending == ".npy":
                np.save(path, flux)
            elif ending == ".fits.fz":
                unit = fits.CompImageHDU(flux, place(FILTER=band), quantize_level=64)
                path.write_bytes(file_of(fits.PrimaryHDU(), unit))
            else:
                fits.PrimaryHDU(flux, place(FILTER=band)).writeto(path)
    images = ImageSet.of(tmp_path)
    assert len(images) == 2 and images.check().broken == ()
    red, green, blue = images.pixels(0, VIEW)[SIDE // 2, SIDE // 2].astype(int)
    assert red > green > blue
    assert (images.pixels(0, View(size=SIDE, bands=bands[::-1])) == images.pixels(0, VIEW)).all()


def test_a_name_that_may_be_a_band_is_one_only_beside_another_of_the_galaxy(tmp_path: Path) -> None:
    for name, band in (("ugc_H", "r"), ("ugc_J", "i"), ("VIS_5", "r"), ("M_Y", "r")):
        (tmp_path / f"{name}.fits").write_bytes(plane(sky(), FILTER=band))
    images = ImageSet.of(tmp_path)
    assert images.ids.tolist() == ["M_Y", "VIS_5", "ugc"]
    (_, why), *rest = images.check().broken
    assert not rest and "bands of the file are not those named; must be ('H',), found ('r',)" in why


def test_names_of_bands_that_no_survey_has_are_given(tmp_path: Path) -> None:
    for k in range(2):
        for band in ("blue", "halpha", "red"):
            (tmp_path / f"n{k}_{band}.fits").write_bytes(plane(sky()))
    assert len(ImageSet.of(tmp_path)) == 6, "nothing says that they are bands"
    for k in range(2):
        for band, name in (("blue", "B Bessell"), ("halpha", "Ha"), ("red", "R")):
            (tmp_path / f"n{k}_{band}.fits").write_bytes(plane(sky(), FILTER=name))
    said = (
        r"files look like bands.*found n0_blue.fits \(B Bessell\), n0_halpha.fits \(Ha\).*"
        r"--bands blue,halpha,red"
    )
    with pytest.raises(InputError, match=said):
        ImageSet.of(tmp_path)
    images = ImageSet.of(tmp_path, bands=("red", "halpha", "blue"))
    assert images.ids.tolist() == ["n0", "n1"]
    assert images.pixels(0, View(size=16, bands=("red", "halpha", "blue"))).shape == (16, 16, 3)


def test_weights_beside_an_image_are_no_galaxies_and_alone_they_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.fits").write_bytes(plane(sky(), FILTER="r"))
    (tmp_path / "a_wht.fits").write_bytes(plane(sky()))
    for band in "gri":
        (tmp_path / f"b_{band}.fits").write_bytes(plane(sky()))
        (tmp_path / f"b_{band}.invvar.fits").write_bytes(plane(sky()))
    (tmp_path / "c_wht.fits").write_bytes(
        file_of(fits.PrimaryHDU(), fits.ImageHDU(sky(), place(), name="WHT"))
    )
    images = ImageSet.of(tmp_path)
    assert images.ids.tolist() == ["a", "b", "c_wht"]
    (name, why), *rest = images.check().broken
    assert (
        not rest
        and name == "c_wht"
        and "holds no image but weights, errors or masks, found 1 (WHT)" in why
    )


def test_a_packed_file_beside_a_plain_one_is_refused(tmp_path: Path) -> None:
    for name in ("a.fits", "a.fits.fz"):
        (tmp_path / name).write_bytes(plane(sky()))
    with pytest.raises(
        InputError, match=r"two files are images of one galaxy.*a\.fits and a\.fits\.fz"
    ):
        ImageSet.of(tmp_path)


# Which plane is the image


def extensions(
    *named: tuple[str, np.ndarray], first: fits.Header | None = None, **cards: Any
) -> bytes:
    units = [fits.ImageHDU(values, place(**cards), name=name) for name, values in named]
    return file_of(fits.PrimaryHDU(header=first), *units)


@pytest.mark.parametrize(
    ("names", "number"),
    [(("SCI", "ERR", "WHT"), 0), (("ERR", "SCI", "DQ"), 1), (("IMAGE", "MASK", "VARIANCE"), 0),
     (("SCI", "ERR", "CON", "WHT", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"), 0),
     (("VARIANCE", "MASK", "SCIENCE"), 2),
     (("", "RMS"), 0), (("COMPRESSED_IMAGE", "IVAR"), 0)],
)  # fmt: skip
def test_the_science_plane_is_the_image_and_weights_never_are(
    names: tuple[str, ...], number: int
) -> None:
    values = [
        np.full((SIDE, SIDE), 1 if "DQ" not in name and name != "MASK" else 0, np.float32)
        for name in names
    ]
    values[number] = sky()
    bands = read(
        extensions(*zip(names, values, strict=True), first=fits.Header({"FILTER": "F200W"}))
    )
    assert bands.names == ("F200W",) and (bands.flux[0] == sky()).all() and not bands.bad.any()


def test_planes_of_several_bands_are_named_by_their_extensions() -> None:
    bands = read(
        extensions(("SCI_F115W", sky()), ("WHT_F115W", abs(sky())), ("SCI_F200W", sky(seed=1)))
    )
    assert bands.names == ("F115W", "F200W")


def test_planes_that_may_both_be_the_image_are_refused_until_one_is_named(tmp_path: Path) -> None:
    data = file_of(
        fits.PrimaryHDU(sky(), place(FILTER="r")),
        fits.ImageHDU(sky(seed=1), place(), name="SCI"),
        fits.ImageHDU(sky(seed=2), place(), name="ODD"),
    )
    with pytest.raises(
        InputError, match=r"several planes may be.*found 0 \(unnamed\), 1 \(SCI\), 2 \(ODD\)"
    ):
        read(data)
    for name, seed in (("SCI", 1), ("odd", 2), ("0", 0), ("2", 2), ("SCI,1", 1)):
        assert (read(data, science=name).flux[0] == sky(seed=seed)).all()
    with pytest.raises(
        InputError, match=r"no plane SKY; must be one of 0 \(unnamed\), 1 \(SCI\).*--science"
    ):
        read(data, science="SKY")
    (tmp_path / "a.fits").write_bytes(data)
    images = ImageSet.of(tmp_path, reading=Reading(science="ODD"))
    assert images.check().broken == () and images.digest(0) != ImageSet.of(tmp_path).digest(0)
    chips = [fits.ImageHDU(sky(seed=k), place(FILTER="F814W"), name="SCI", ver=k) for k in (1, 2)]
    with pytest.raises(
        InputError, match=r"planes are of one band.*found F814W, F814W; .* --science NAME,VERSION"
    ):
        read(file_of(fits.PrimaryHDU(), *chips))
    assert (read(file_of(fits.PrimaryHDU(), *chips), science="SCI,2").flux[0] == sky(seed=2)).all()


# What is bad


def test_masks_mark_what_their_header_calls_bad() -> None:
    flags = np.zeros((SIDE, SIDE), np.int32)
    flags[0, :5], flags[1, :7], flags[2, :9] = 1 << 8, 1 << 5, 1
    bits = fits.Header({"HIERARCH MP_NO_DATA": 8, "HIERARCH MP_DETECTED": 5, "MP_BAD": 0})
    hsc = fits.ImageHDU(flags, bits, name="MASK")
    science = fits.ImageHDU(sky(), place(FILTER="HSC-R"), name="IMAGE")
    assert read(file_of(fits.PrimaryHDU(), science, hsc)).bad.sum() == 5 + 9, (
        "the galaxy's own pixels are DETECTED"
    )
    plain = fits.ImageHDU(flags, name="DQ")
    assert read(file_of(fits.PrimaryHDU(), science, plain)).bad.sum() == 21
    jwst = fits.ImageHDU(flags, fits.Header({"TELESCOP": "JWST"}), name="DQ")
    assert read(file_of(fits.PrimaryHDU(), science, jwst)).bad.sum() == 9, (
        "its first bit alone means do not use"
    )
    other = fits.ImageHDU(flags[:9], name="MASK")
    assert not read(file_of(fits.PrimaryHDU(), science, other)).bad.any(), (
        "a mask of another shape says nothing"
    )


def test_blank_integers_are_bad() -> None:
    values = (sky() * 10).astype(np.int16)
    values[5, :20] = -32768
    assert read(plane(values, BLANK=-32768, FILTER="r")).bad.sum() == 20


@pytest.mark.parametrize(
    ("kind", "blank", "value"),
    [("i2", -32768, -32768), ("u2", 32767, 65535), ("u4", 2**31 - 1, 2**32 - 1), ("u1", 255, 255),
     ("i4", -7, -7), ("i2", 0, 0), ("u1", 0, 0), ("u2", -32768, 0)],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "compressed"])
def test_blank_is_missing_in_every_kind_of_integers(
    kind: str, blank: int, value: int, packed: bool
) -> None:
    # the value of blank pixels is scattered, so that areas of zeros are not what finds them
    values = np.clip(np.rint(sky() + 30), 1, 200).astype(kind)
    holes = np.random.default_rng(3).random(values.shape) < 0.05
    if kind.endswith("4"):
        values[0, 0], holes[0, 0] = 2**24 - 1, False
    expected = values.astype(float)
    values[holes] = value
    unit = fits.CompImageHDU(values) if packed else fits.ImageHDU(values)
    unit.header["BLANK"], unit.header["FILTER"] = blank, "r"
    bands = read(file_of(fits.PrimaryHDU(), unit))
    assert (bands.bad[0] == holes).all() and np.isnan(bands.flux[0][holes]).all()
    assert (bands.flux[0][~holes] == expected[~holes]).all()


def test_a_weight_that_is_blank_marks_a_bad_pixel() -> None:
    weight = np.full((SIDE, SIDE), 9, np.uint16)
    weight[4, :7] = 65535
    unit = fits.ImageHDU(weight, name="WHT")
    unit.header["BLANK"] = 32767
    science = fits.ImageHDU(sky(), place(FILTER="r"), name="SCI")
    assert read(file_of(fits.PrimaryHDU(), science, unit)).bad.sum() == 7


def masks(*names: str, **cards: Any) -> list[fits.ImageHDU]:
    """Masks whose k-th has bad pixels in rows 5k … 5k + k alone."""
    result = []
    for k, name in enumerate(names):
        flags = np.zeros((SIDE, SIDE), np.int16)
        flags[5 * k : 5 * k + k + 1] = 1
        versions = {key: each[k] for key, each in cards.items()}
        result.append(fits.ImageHDU(flags, fits.Header(versions), name=name))
    return result


def images_in(*names: str, **cards: Any) -> list[fits.ImageHDU]:
    return [
        fits.ImageHDU(
            sky(seed=k), place(**{key: each[k] for key, each in cards.items()}), name=name
        )
        for k, name in enumerate(names)
    ]


GRI = ("g", "r", "i")


@pytest.mark.parametrize(
    "units",
    [
        images_in("SCI_G", "SCI_R", "SCI_I") + masks("MASK_G", "MASK_R", "MASK_I"),
        images_in("G", "R", "I") + masks("G_DQ", "R_DQ", "I_DQ"),
        images_in("G.SCI", "R.SCI", "I.SCI") + masks("G.DQ", "R.DQ", "I.DQ"),
        masks("MASK_G", "MASK_R", "MASK_I") + images_in("SCI_G", "SCI_R", "SCI_I"),
        images_in("SCI", "SCI", "SCI", FILTER=GRI) + masks("DQ", "DQ", "DQ", FILTER=GRI),
        images_in("SCI", "SCI", "SCI", FILTER=GRI, EXTVER=(1, 2, 3))
        + masks("DQ", "DQ", "DQ", EXTVER=(1, 2, 3)),
        [
            unit
            for pair in zip(
                images_in("SCI", "SCI", "SCI", FILTER=GRI), masks("DQ", "DQ", "DQ"), strict=True
            )
            for unit in pair
        ],
    ],
    ids=["names", "bands", "dots", "masks first", "filters", "versions", "order"],
)
def test_a_mask_marks_the_image_of_its_band(units: list[fits.ImageHDU]) -> None:
    bands = read(file_of(fits.PrimaryHDU(), *units))
    assert bands.names == GRI
    for k in range(3):
        expected = np.zeros((SIDE, SIDE), bool)
        expected[5 * k : 5 * k + k + 1] = True
        assert (bands.bad[k] == expected).all(), "rows of its own mask and no others"


def test_a_mask_that_marks_nothing_may_be_of_any_image() -> None:
    empty = fits.ImageHDU(np.zeros((SIDE, SIDE), np.int16), name="MASK")
    g, r = images_in("IMAGE_G", "IMAGE_R")
    assert not read(file_of(fits.PrimaryHDU(), g, r, empty)).bad.any()
    # it still stands between two images, so the next mask is of the second one
    (full,) = masks("MASK")
    bands = read(file_of(fits.PrimaryHDU(), g, empty, r, full))
    assert bands.bad.sum(axis=(1, 2)).tolist() == [0, SIDE]
    with pytest.raises(InputError, match="cannot be told apart"):
        read(file_of(fits.PrimaryHDU(), g, r, full))


def test_masks_by_order_are_of_the_image_before_them_though_another_is_named() -> None:
    from gzfeatures.images.reader_version import CARDS, version

    (a, b), (one, two) = images_in("A", "B"), masks("MASK", "MASK")
    data = file_of(fits.PrimaryHDU(), a, one, b, two)
    assert read(data, science="A").bad.sum() == SIDE
    assert read(data, science="B").bad.sum() == 2 * SIDE
    assert version(data, max_pixels=10**6, reading=Reading(science="A")) == CARDS
    with pytest.raises(InputError, match="cannot be told apart"):
        read(file_of(fits.PrimaryHDU(), a, b, one, two), science="A")


def test_masks_that_nothing_pairs_with_images_are_refused_and_those_of_others_do_not_count() -> (
    None
):
    three = images_in("SCI", "SCI", "SCI", FILTER=GRI)
    for units, found in (
        (three + masks("MASK", "MASK", "MASK"), 3),
        (masks("MASK", "MASK", "MASK") + three, 3),
        (three + masks("MASK"), 1),
        (masks("MASK") + three, 1),
        (three[:1] + masks("MASK", "MASK") + three[1:], 2),
    ):
        with pytest.raises(
            InputError,
            match=rf"masks of several images cannot be told.*found {found} of the kind mask for 3",
        ):
            read(file_of(fits.PrimaryHDU(), *units))
    unmasked = file_of(fits.PrimaryHDU(), *three[:1], *masks("MASK"), *three[1:])
    assert read(unmasked).bad.sum((1, 2)).tolist() == [SIDE, 0, 0]
    joint = file_of(fits.PrimaryHDU(), *images_in("SCI_G", "SCI_R"), *masks("MASK"))
    assert read(joint, science="SCI_G").bad.sum() == SIDE
    units = images_in("SCI_G", "SCI_R", "SCI_I") + masks("MASK_G", "MASK_R", "MASK_I")
    alone = read(file_of(fits.PrimaryHDU(), *units), science="SCI_R")
    assert alone.names == ("r",) and alone.bad.sum() == 2 * SIDE
    chips = [
        unit
        for k in range(2)
        for unit in (
            images_in("SCI", "SCI", FILTER=("r", "r"), EXTVER=(1, 2))[k],
            masks("DQ", "DQ", EXTVER=(1, 2))[k],
        )
    ]
    assert read(file_of(fits.PrimaryHDU(), *chips), science="SCI,2").bad.sum() == 2 * SIDE


def compressed(values: np.ndarray, method: int, **options: Any) -> bytes:
    unit = fits.CompImageHDU(
        values, place(FILTER="r"), quantize_method=method, dither_seed=7, **options
    )
    return file_of(fits.PrimaryHDU(), unit)


@pytest.mark.parametrize("method", [-1, 1, 2], ids=["no dither", "dither 1", "dither 2"])
@pytest.mark.parametrize("level", [4, 16])
@pytest.mark.parametrize("tiles", [None, (16, 16)], ids=["rows", "squares"])
def test_zeros_that_compression_makes_are_sky_and_areas_of_zeros_are_unobserved(
    method: int, level: float, tiles: tuple[int, int] | None
) -> None:
    options: dict[str, Any] = {
        "quantize_level": level,
        **({} if tiles is None else {"tile_shape": tiles}),
    }
    flux = sky()
    bands = read(compressed(flux, method, **options))
    assert bands.bad.sum() == 0 and bands.faults() == []
    flux[:, :20], flux[40:50, 30:40] = 0, 0
    bad = read(compressed(flux, method, **options)).bad[0]
    hole = flux == 0
    assert bad[hole].mean() > 0.97 and bad[~hole].mean() < 0.03
    flux[3, 3:30] = np.nan
    assert read(compressed(flux, method, **options)).bad[0, 3, 3:30].all()


def test_scattered_zeros_are_measurements_and_strips_and_squares_of_zeros_are_not() -> None:
    flux = sky()
    flux[np.random.default_rng(1).random(flux.shape) < 0.2] = 0
    assert not read(plane(flux, FILTER="r")).bad.any()
    for hole in (np.s_[:, 0], np.s_[-1], np.s_[10:15, 20:25]):
        holed = sky()
        holed[hole] = 0
        assert (read(plane(holed, FILTER="r")).bad[0] == (holed == 0)).all()


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "u4", "f4", "f8"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "compressed"])
def test_the_same_pixels_are_bad_and_drawn_alike_whatever_their_type(
    kind: str, packed: bool
) -> None:
    values = np.clip(np.rint(sky() + 30), 0, 255)
    values[np.random.default_rng(1).random(values.shape) < 0.1] = 0
    values[:6] = 0
    stored = values.astype(kind)
    if packed and stored.dtype.kind == "f":
        unit = fits.CompImageHDU(
            stored, place(FILTER="r"), compression_type="GZIP_1", quantize_level=0
        )
    else:
        unit = fits.CompImageHDU(stored, place(FILTER="r"))
    bands = read(file_of(fits.PrimaryHDU(), unit) if packed else plane(stored, FILTER="r"))
    assert bands.bad[0, :6].all() and not bands.bad[0, 12:].any()
    reference = read(plane(values.astype("f4"), FILTER="r"))
    assert (bands.bad == reference.bad).all() and (bands.render() == reference.render()).all()


def test_the_least_integer_of_a_type_is_no_zero() -> None:
    values = (sky() * 10).astype(np.int16)
    values[:6] = -32768
    assert not read(plane(values, FILTER="r")).bad.any()


# How the sky lies


def write_bands(folder: Path, **shifts: Any) -> ImageSet:
    folder.mkdir(exist_ok=True)
    for rank, (band, (dx, dy, cards)) in enumerate(shifts.items()):
        (folder / f"a_{band}.fits").write_bytes(
            plane(sky(dx, dy, seed=rank), place(dx, dy, **cards), FILTER=band)
        )
    return ImageSet.of(folder)


def peaks(images: ImageSet) -> np.ndarray:
    shown = images.pixels(0, VIEW).astype(float) ** 3
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.array(
        [[(shown[..., c] * axis).sum() / shown[..., c].sum() for c in range(3)] for axis in (x, y)]
    )


@pytest.mark.parametrize("shift", [(9, -4), (0.5, 0.3), (-7.4, 2.6), (0.04, -0.03)])
def test_bands_are_laid_on_each_other_by_their_coordinates(
    shift: tuple[float, float], tmp_path: Path
) -> None:
    images = write_bands(tmp_path, g=(*shift, {}), r=(0, 0, {}), i=(-shift[0], -shift[1], {}))
    apart = peaks(images)
    assert (apart.max(axis=1) - apart.min(axis=1) < 0.5).all(), apart


def test_bands_on_one_grid_are_left_as_they_lie_to_the_bit(tmp_path: Path) -> None:
    images = write_bands(tmp_path, g=(0, 0, {}), r=(0, 0, {}), i=(0, 0, {}))
    straight = np.stack([sky(seed=rank) for rank in range(3)])
    data = file_of(fits.PrimaryHDU(straight, place(BANDS="gri")))
    assert (images.pixels(0, VIEW) == read(data).render()).all()


def test_a_shift_leaves_what_was_not_observed_bad(tmp_path: Path) -> None:
    write_bands(tmp_path, g=(9, 0, {}), r=(0, 0, {}), i=(0.5, 0, {}))
    parts = [read((tmp_path / f"a_{band}.fits").read_bytes()) for band in "gri"]
    from gzfeatures.images.decoding.band_files import stacked

    bands = stacked(parts, where="a")
    assert bands.bad.sum(axis=(1, 2)).tolist() == [9 * SIDE, 0, SIDE]
    assert bands.uncovered is not None and (bands.uncovered == bands.bad).all()
    assert (bands.flux[0, :, :-9] == parts[0].flux[0, :, 9:]).all(), (
        "whole pixels are not interpolated"
    )


def test_bands_that_a_shift_left_half_uncovered_are_not_said_to_show_no_galaxy(
    tmp_path: Path,
) -> None:
    images = write_bands(tmp_path, g=(SIDE // 3, 0, {}), r=(0, 0, {}), i=(-SIDE // 3, 0, {}))
    reasons: list[str] = []
    images.network_input(0, [VIEW], noted=reasons.append)
    assert reasons == [] and images.check().broken == ()


@pytest.mark.parametrize(
    ("cards", "said"),
    [({"ra": 10}, "show one field of the sky, found i and r"),
     ({"ra": 150.02}, "show one field of the sky"),
     ({"scale": 0.2}, r"have one pixel scale, found 0\.2\" and 0\.4\" a pixel in i and r"),
     ({"turn": 30}, "have one orientation, found i and r"), ({"turn": 180}, "have one orientation"),
     ({"east": 1}, "have east on one side, found i and r")],
)  # fmt: skip
def test_bands_that_cannot_be_laid_on_each_other_are_refused_by_name(
    cards: dict[str, float], said: str, tmp_path: Path
) -> None:
    images = write_bands(tmp_path, g=(0, 0, {}), r=(0, 0, {}), i=(0, 0, cards))
    with pytest.raises(
        InputError, match=f"a_g.fits: bands of one galaxy cannot be aligned; must {said}"
    ):
        images.pixels(0, VIEW)
    assert "cannot be aligned" in images.check().broken[0][1]


def test_bands_with_and_without_coordinates_are_refused(tmp_path: Path) -> None:
    for band in "gri":
        header = fits.Header() if band == "r" else place()
        (tmp_path / f"a_{band}.fits").write_bytes(plane(sky(), header, FILTER=band))
    with pytest.raises(
        InputError, match=r"bands cannot be aligned; must all have.*found none in r"
    ):
        ImageSet.of(tmp_path).pixels(0, VIEW)
    for band in "gi":
        (tmp_path / f"a_{band}.fits").write_bytes(plane(sky(), fits.Header(), FILTER=band))
    assert ImageSet.of(tmp_path).pixels(0, VIEW).std() > 1, (
        "none has any: they are taken as they lie"
    )


def test_extensions_of_one_file_are_aligned_too() -> None:
    units = [
        fits.ImageHDU(sky(dx, 0), place(dx, 0, BAND=band))
        for band, dx in (("g", 6), ("r", 0), ("i", -6))
    ]
    bands = read(file_of(fits.PrimaryHDU(), *units))
    columns = [int(np.nan_to_num(flux).sum(axis=0).argmax()) for flux in bands.flux]
    assert max(columns) - min(columns) <= 1


def test_galactic_and_equatorial_coordinates_of_one_place_agree(tmp_path: Path) -> None:
    from astropy.coordinates import SkyCoord

    centre = SkyCoord(150, 2, unit="deg").galactic
    north = SkyCoord(150, 2.01, unit="deg").galactic
    turn = np.arctan2((north.l - centre.l).deg * np.cos(centre.b.rad), (north.b - centre.b).deg)
    world = WCS(naxis=2)
    world.wcs.ctype, world.wcs.crval = ["GLON-TAN", "GLAT-TAN"], [centre.l.deg, centre.b.deg]
    world.wcs.crpix = [(SIDE + 1) / 2] * 2
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    world.wcs.cd = spin @ np.diag([-0.4, 0.4]) / 3600
    (tmp_path / "a_g.fits").write_bytes(plane(sky(), world.to_header(), FILTER="g"))
    for band in "ri":
        (tmp_path / f"a_{band}.fits").write_bytes(plane(sky(), FILTER=band))
    apart = peaks(ImageSet.of(tmp_path))
    assert (apart.max(axis=1) - apart.min(axis=1) < 0.5).all()


def test_a_sky_seen_from_behind_is_turned_round() -> None:
    flux = sky(10, 4)
    straight = read(plane(flux, place(FILTER="r"))).render()
    behind = read(plane(flux[:, ::-1].copy(), place(east=1, FILTER="r"))).render()
    assert (behind == straight).all(), "spirals wind one way, whatever side the camera looked from"
    first = place(FILTER="r")
    swapped = fits.Header({"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 2, "CRVAL2": 150,
                           "CRPIX1": 32.5,
                           "CRPIX2": 32.5, "CD1_1": 0.4 / 3600, "CD2_2": 0.4 / 3600,
                           "FILTER": "r"})  # fmt: skip
    assert first["CTYPE1"] == "RA---TAN"
    upright = read(plane(flux, swapped)).render()
    unknown = read(plane(flux, fits.Header({"FILTER": "r"}))).render()
    assert (upright == unknown).all(), "north to the right and east up is no mirror image"
    swapped["CD2_2"] *= -1
    assert (read(plane(flux, swapped)).render() == unknown[:, ::-1]).all()


def inheriting(
    values: np.ndarray, first: fits.Header, own: fits.Header | None = None, **cards: Any
) -> bytes:
    """A file whose first header, without pixels, tells the sky of the image in its extension."""
    first.update(cards)
    return file_of(fits.PrimaryHDU(header=first), fits.ImageHDU(values, own, name="SCI"))


TRUE, FALSE = fits.Header({"INHERIT": True}), fits.Header({"INHERIT": False})


@pytest.mark.parametrize("own", [TRUE, None, fits.Header({"CTYPE1": "LINEAR", "CDELT1": 3.0})])
def test_an_extension_without_a_sky_has_that_of_a_first_header_without_pixels(
    own: fits.Header | None, tmp_path: Path
) -> None:
    for rank, (band, dx) in enumerate((("g", 0), ("r", 0), ("i", 20))):
        data = inheriting(sky(dx, 0, seed=rank), place(dx, 0), own, FILTER=band)
        (tmp_path / f"a_{band}.fits").write_bytes(data)
    apart = peaks(ImageSet.of(tmp_path))
    assert (apart.max(axis=1) - apart.min(axis=1) < 0.5).all(), apart
    flux = sky(10, 4)
    straight = read(inheriting(flux, place(), own, FILTER="r")).render()
    assert (
        read(inheriting(flux[:, ::-1].copy(), place(east=1), own, FILTER="r")).render() == straight
    ).all()
    (tmp_path / "a_i.fits").write_bytes(inheriting(flux, place(turn=30), own, FILTER="i"))
    with pytest.raises(InputError, match="cannot be aligned; must have one orientation"):
        ImageSet.of(tmp_path).pixels(0, VIEW)


def test_what_an_extension_says_of_its_sky_counts_before_the_first_header() -> None:
    own, first = place(7, 0), place(1, 0)
    assert read(inheriting(sky(), first, own)).header["CRPIX1"] == own["CRPIX1"]
    moved = read(inheriting(sky(), place(1, 0), fits.Header({"CRPIX1": 12.5}))).header
    assert (moved["CRPIX1"], moved["CRPIX2"], moved["CTYPE1"]) == (12.5, 32.5, "RA---TAN")
    scaled = read(inheriting(sky(), place(), fits.Header({"CDELT1": -1e-4, "CDELT2": 1e-4}))).header
    assert scaled["CDELT1"] == -1e-4 and "PC1_1" not in scaled, (
        "scales and a matrix are of one header"
    )
    assert "CTYPE1" not in read(inheriting(sky(), place(), FALSE)).header, "INHERIT = F forbids it"
    pixels = file_of(fits.PrimaryHDU(sky(), place()), fits.ImageHDU(sky(), TRUE, name="SCI"))
    assert "CTYPE1" not in read(pixels, science="SCI").header, (
        "a first header with pixels speaks for them alone"
    )


def test_only_files_whose_pixels_changed_have_a_new_key(tmp_path: Path) -> None:
    import gzip

    from gzfeatures.images.decoding.bundle import bundle, npy
    from gzfeatures.images.reader_version import SKY, VALUES, version

    whole, grey = sky(), place(FILTER="r")
    counts = (whole + 30).astype(np.int16)
    old = [
        plane(whole, FILTER="r"),
        extensions(("SCI", whole), ("WHT", abs(whole)), first=fits.Header({"FILTER": "r"})),
        file_of(fits.PrimaryHDU(), fits.CompImageHDU(whole, grey)), npy(counts),
        bundle({"images.npy": npy(counts)}),
        file_of(fits.PrimaryHDU(whole, grey),
                fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])])),
    ]  # fmt: skip
    new = [
        plane(counts, FILTER="r"), plane(counts.astype("u2"), FILTER="r"),
        extensions(("SCI", counts)),
        file_of(fits.PrimaryHDU(), fits.CompImageHDU(counts, grey)), inheriting(whole, place()),
    ]  # fmt: skip
    for files, number in ((old, VALUES), (new, SKY)):
        for data in files:
            assert version(data, max_pixels=10**6) == number
            if data.startswith(b"SIMPLE"):
                assert version(gzip.compress(data), max_pixels=10**6) == number
                assert version(bundle({"g": old[0], "r": data}), max_pixels=10**6) == number
    for damaged in (b"SIMPLE", b"\x1f\x8b\0", b"PK\x03\x04", gzip.compress(old[0])[:900]):
        assert version(damaged, max_pixels=10**6) == VALUES, (
            "what is damaged is told when it is read"
        )
    for path, data in ((tmp_path / "a.fits", old[0]), (tmp_path / "b.fits", new[0])):
        path.write_bytes(data)
        key = {"image": fingerprint.of_file(path), "field": 1.0, "bands": None}
        assert ImageSet.of(path).digest(0) == fingerprint.of(
            {**key, "reader": 2 if path.stem == "a" else 3}
        )


def blank(values: np.ndarray, value: int, **cards: Any) -> fits.ImageHDU:
    unit = fits.ImageHDU(values, place(**cards), name="SCI")
    unit.header["BLANK"] = value
    return unit


def test_files_whose_headers_are_understood_better_have_a_new_key(tmp_path: Path) -> None:
    from gzfeatures.images.decoding.bundle import bundle, npy
    from gzfeatures.images.reader_version import CARDS, SKY, VALUES, version

    counts = (sky() + 30).astype(np.int16)
    empty = fits.PrimaryHDU()
    packed = fits.CompImageHDU(counts.astype("u2"), place(FILTER="r"))
    packed.header["BLANK"] = 32767
    chips = [unit for k in range(2) for unit in (
        images_in("SCI", "SCI", EXTVER=(1, 2), FILTER=("g", "r"))[k],
        masks("DQ", "DQ", EXTVER=(1, 2))[k])]  # fmt: skip
    interleaved = [unit for k in range(2) for unit in (
        images_in("SCI_G", "SCI_R")[k], masks("MASK_G", "MASK_R")[k])]  # fmt: skip
    behind = {"FILTER": ("F335M", "F444W", "F356W"), "PUPIL": ("CLEAR", "F323N", "CLEAR")}
    names, flux = ("F150W", "F212N", "F277W"), np.stack([sky(), sky(1), sky(2)])
    stack = bundle({"images.npy": npy(flux), "filters.npy": npy(np.asarray(names))})
    new = [
        file_of(empty, blank(counts, 0)), file_of(empty, blank(counts.astype("u2"), 32767)),
        file_of(empty, packed), file_of(empty, blank(counts.astype("u4"), 2**31 - 1)),
        file_of(empty, *images_in("SCI_G", "SCI_R"), *masks("MASK_G", "MASK_R")),
        file_of(empty, *images_in("SCI", "SCI", "SCI", **behind)),
        plane(sky(), FILTER="F444W", PUPIL="F405N"),
        file_of(empty, *images_in("R.SCI"), *masks("R.DQ")),
        bundle({"F444W": plane(sky(), FILTER="F444W", PUPIL="F405N"), "F356W": plane(sky())}),
        file_of(empty, *images_in("SCI", "SCI", FILTER=("g", "r")), *masks("DQ")),
        bundle({name: plane(sky()) for name in ("F606W", "F814W", "F999W")}),
        plane(flux, BAND0="g", BAND1="r", BAND2="H alpha"),
        file_of(empty, *images_in("F115W", "F150W", "F212N")),
        file_of(empty, *images_in(*names)), plane(flux, BAND0="F150W", BAND1="F212N",
                                                  BAND2="F277W"),
        bundle({name: plane(sky()) for name in names}), stack,
    ]  # fmt: skip
    for data in new:
        assert version(data, max_pixels=10**6) == CARDS
    old = [
        (file_of(empty, blank(counts, -32768)), SKY), (file_of(empty, *interleaved), SKY),
        (file_of(empty, *chips), SKY), (plane(sky(), FILTER="F212N"), VALUES),
        (plane(sky(), FILTER="CLEAR", PUPIL="F150W"), VALUES),
        (file_of(empty, *images_in("SCI_G", "SCI_R"), *masks("ERR", "ERR")), SKY),
        (plane(sky(), FILTER="F444W", PUPIL="CLEAR"), VALUES),
        (file_of(empty, *images_in("SCI", FILTER=("F444W",)), *masks("DQ", "WHT", "DQ")), SKY),
        (file_of(empty, *images_in("F606W", "F814W", "F850LP")), VALUES),
        (bundle({name: plane(sky()) for name in ("F405N", "F466N", "F470N")}), VALUES),
    ]  # fmt: skip
    for data, number in old:
        assert version(data, max_pixels=10**6) == number
    for data in (file_of(empty, *interleaved), file_of(empty, *chips)):
        assert version(data, max_pixels=10**6, reading=Reading(science="SCI,1")) == CARDS
    given = Reading(bands=names)
    assert version(npy(flux), max_pixels=10**6, reading=given) == CARDS
    assert version(plane(flux), max_pixels=10**6, reading=given) == CARDS
    claim = new[0].replace(b"BITPIX  =                   16", b"BITPIX  =  9999999999999999999")
    assert claim != new[0] and version(claim, max_pixels=10**6) == SKY
    hostile = plane(sky()).replace(
        b"NAXIS   =                    2", b"NAXIS3  =           2999999999"
    )
    assert version(hostile, max_pixels=10**6) in (VALUES, SKY)
    (tmp_path / "a.fits").write_bytes(new[0])
    key = {"image": fingerprint.of_file(tmp_path / "a.fits"), "field": 1.0, "bands": None}
    assert ImageSet.of(tmp_path).digest(0) == fingerprint.of({**key, "reader": 4})


def test_flux_is_read_anew_since_its_pixels_changed(tmp_path: Path) -> None:
    (tmp_path / "a.fits").write_bytes(plane(sky(), FILTER="r"))
    digest = ImageSet.of(tmp_path).digest(0)
    assert digest != fingerprint.of_file(tmp_path / "a.fits")
    assert digest == ImageSet.of(tmp_path).digest(0)


def test_a_range_draws_flux_between_two_values_for_all_galaxies_alike(tmp_path: Path) -> None:
    for k, scale in enumerate((1, 2)):
        (tmp_path / f"g{k}.fits").write_bytes(plane(sky() * scale, FILTER="r"))
    images = ImageSet.of(tmp_path, reading=Reading(range=(0, 250)))
    one, two = (int(images.pixels(row, VIEW).max()) for row in range(2))
    assert 1.8 < two / one < 2.2
    wide = ImageSet.of(tmp_path, reading=Reading(range=(0, 10**5)))
    assert "fewer than 32 in this range" in wide.check().broken[0][1]
    with pytest.raises(InputError, match="range and stretch; must be one or the other"):
        images.pixels(0, View(size=SIDE, stretch="engel"))


# HDF5


def stack(path: Path, **arrays: Any) -> Path:
    images = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), dtype=np.uint8)
    with h5py.File(path, "w") as file:
        file["images"] = images
        for name, values in arrays.items():
            file[name] = values
    return path


BIG = 36411448540271969


@pytest.mark.parametrize(
    "name", ["object_id", "objid", "galaxy_id", "specobjid", "OBJID", "id_str", "dr7objid", "ids"]
)
def test_ids_beside_the_images_are_theirs_whatever_they_are_called(
    name: str, tmp_path: Path
) -> None:
    numbers = np.arange(3) + BIG
    for values in (
        numbers,
        numbers.astype("u8"),
        numbers.astype("S20"),
        numbers.astype(str).tolist(),
    ):
        images = ImageSet.of(stack(tmp_path / "a.h5", **{name: values}, redshift=np.ones(3)))
        assert images.ids.tolist() == [str(BIG), str(BIG + 1), str(BIG + 2)]
    negative = ImageSet.of(stack(tmp_path / "a.h5", **{name: -numbers}))
    assert negative.ids[0] == str(-BIG)


def test_several_arrays_of_ids_are_refused_naming_them_and_the_flag(tmp_path: Path) -> None:
    path = stack(
        tmp_path / "a.h5",
        object_id=np.arange(3) + BIG,
        specobjid=np.arange(3),
        names=["x", "y", "z"],
    )
    with pytest.raises(
        InputError,
        match=r"several arrays may hold the ids.*found object_id, specobjid; .*--ids-from",
    ):
        ImageSet.of(path)
    assert ImageSet.of(path, reading=Reading(ids_from="specobjid")).ids.tolist() == ["0", "1", "2"]
    assert ImageSet.of(path, reading=Reading(ids_from="names")).ids.tolist() == ["x", "y", "z"]
    with pytest.raises(
        InputError, match="no array objid for the ids; must be one of names, object_id, specobjid"
    ):
        ImageSet.of(path, reading=Reading(ids_from="objid"))


def test_ids_that_lost_their_digits_are_refused_and_without_any_a_row_is_one(
    tmp_path: Path,
) -> None:
    for kind, start in (("f8", BIG), ("f4", 2**24)):
        path = stack(
            tmp_path / "a.h5", object_id=(np.arange(3) + start).astype(kind), names=["x", "y", "z"]
        )
        with pytest.raises(
            InputError, match=r"too large for a float.*name another array of ids with --ids-from"
        ) as told:
            ImageSet.of(path)
        assert "--id " not in str(told.value)
        assert ImageSet.of(path, reading=Reading(ids_from="names")).ids.tolist() == ["x", "y", "z"]
    lost = stack(tmp_path / "a.h5", object_id=["3.6411448540271969e+16"] * 3)
    with pytest.raises(InputError, match=r"lost its last digits.*--ids-from OTHER"):
        ImageSet.of(lost)
    assert ImageSet.of(stack(tmp_path / "a.h5", ra=np.ones(3))).ids.tolist() == ["0", "1", "2"]


def test_several_arrays_of_images_are_refused_until_one_is_named(tmp_path: Path) -> None:
    path, other = stack(tmp_path / "a.h5"), np.full((3, 16, 16, 3), 7, np.uint8)
    with h5py.File(path, "a") as file:
        file.move("images", "image")
        file["data"], file["redshift"] = other, np.ones(3)
    said = (
        r"several arrays may hold the images; must be told which, found image, data; "
        r"choose it with --science image"
    )
    with pytest.raises(InputError, match=said):
        ImageSet.of(path)
    assert (ImageSet.of(path, reading=Reading(science="data")).pixels(0, View(size=16)) == 7).all()
    assert ImageSet.of(path, reading=Reading(science="image")).pixels(0, View(size=16)).std() > 5
    with pytest.raises(InputError, match="no array redshift of images; must be one of data, image"):
        ImageSet.of(path, reading=Reading(science="redshift"))
    with h5py.File(path, "a") as file:
        del file["data"]
        file["data"] = np.ones((3, 2))
    assert len(ImageSet.of(path)) == 3, "an array of another shape holds no images"
    with h5py.File(path, "a") as file:
        file.move("image", "cutouts")
    with pytest.raises(InputError, match=r"no images in the HDF5 file.*as --science cutouts"):
        ImageSet.of(path)
    assert len(ImageSet.of(path, reading=Reading(science="cutouts"))) == 3


# Real cutouts


@pytest.mark.data
def test_real_galaxies_with_pictures_beside_their_bands_are_chosen_and_whole(
    shared_data: Path,
) -> None:
    folder = shared_data / "multiband" / "efigi_gri"
    with pytest.raises(InputError, match="a picture and bands are images of one galaxy"):
        ImageSet.of(folder)
    bands = ImageSet.of(folder, reading=Reading(prefer="bands"))
    assert len(bands) == 15 and bands.check().broken == ()
    plain = read_fits((folder / "PGC0000218_g.fits").read_bytes(), where="a", max_pixels=10**6)
    assert 0.04 < plain.bad.mean() < 0.06, "one corner was not observed"
