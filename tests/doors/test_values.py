"""Values of pictures: what is no grey level becomes one by a rule that is said, and lost contrast
is told."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from verbs import called as gz

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.images.decoding.grey_levels import Levels, number_of
from gzfeatures.images.decoding.stretches import STRETCHES
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.reading import Reading
from gzfeatures.images.view import View

SIDE = 40
VIEW = View(size=SIDE)


def galaxy(seed: int = 0, peak: float = 200.0) -> np.ndarray:
    """A round galaxy on noise, values 0 … 255 as float64."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    noise = np.random.default_rng(seed).normal(12, 4, (SIDE, SIDE))
    return np.clip(noise + peak * np.exp(-np.hypot(x, y) / 6), 0, 255)


def put(path: Path, values: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)
    return path


def test_floats_outside_fits_are_refused_naming_their_values_and_the_flags(tmp_path: Path) -> None:
    for name, values in (
        ("unit.tif", (galaxy() / 255).astype("f4")),
        ("double.tif", galaxy() * 40),
        ("plane.npy", galaxy().astype("f4")),
        ("colour.npy", np.stack([galaxy()] * 3, 2).astype("f4")),
    ):
        images = ImageSet.of(put(tmp_path / name, values))
        said = (
            r"picture of \d\d-bit floats; must say which values are black and white, "
            r"found .* … .*; give --stretch"
        )
        with pytest.raises(InputError, match=said):
            images.pixels(0, VIEW)
        assert "bit floats" in images.check().broken[0][1]


def test_a_range_is_one_for_all_images_and_none_is_scaled_by_its_own_maximum(
    tmp_path: Path,
) -> None:
    for k, peak in enumerate((50.0, 100.0, 200.0)):
        put(tmp_path / f"g{k}.tif", (galaxy(k, peak) / 255).astype("f4"))
    images = ImageSet.of(tmp_path, reading=Reading(range=(0, 1)))
    peaks = [int(images.pixels(row, VIEW).max()) for row in range(3)]
    assert peaks[0] < 80 < peaks[1] < 130 < peaks[2] and images.check().broken == ()
    half = ImageSet.of(tmp_path, reading=Reading(range=(0, 0.5)))
    assert half.pixels(2, VIEW).max() == 255 and half.digest(0) != images.digest(0)
    exact = np.clip(np.rint(np.asarray(Image.open(tmp_path / "g0.tif"), dtype=float) * 255), 0, 255)
    assert (images.pixels(0, VIEW)[..., 0] == exact).all()


@pytest.mark.parametrize("stretch", STRETCHES)
def test_a_stretch_draws_floats_by_name_in_the_view_or_in_the_reading(
    stretch: str, tmp_path: Path
) -> None:
    path = put(tmp_path / "a.tif", (galaxy() * 40).astype("f4"))
    said = ImageSet.of(path, reading=Reading(stretch=stretch)).pixels(0, VIEW)
    seen = ImageSet.of(path).pixels(0, View(size=SIDE, stretch=stretch))
    assert (said == seen).all() and said.std() > 5 and said.shape == (SIDE, SIDE, 3)
    assert ImageSet.of(path, reading=Reading(stretch=stretch)).check().broken == ()
    with pytest.raises(InputError, match="view asks for bands of a picture"):
        ImageSet.of(
            put(tmp_path / "b.png", galaxy().astype("u1")), reading=Reading(stretch=stretch)
        ).pixels(0, VIEW)


def test_not_a_number_is_black_and_nothing_but_it_is_blank(tmp_path: Path) -> None:
    values = (galaxy() / 255).astype("f4")
    values[:5] = np.nan
    path = put(tmp_path / "a.tif", values)
    assert (ImageSet.of(path, reading=Reading(range=(0, 1))).pixels(0, VIEW)[:5] == 0).all()
    put(path, np.full((9, 9), np.nan, "f4"))
    with pytest.raises(InputError, match="image is blank"):
        ImageSet.of(path).pixels(0, View(size=9, stretch="lupton"))


def test_integers_take_the_range_of_their_type() -> None:
    ends: list[tuple[str, int]] = [
        ("u2", 65535),
        ("u4", 2**32 - 1),
        ("u8", 2**64 - 1),
        ("i2", 32767),
        ("i4", 2**31 - 1),
    ]
    for kind, most in ends:
        values = np.array([[[0, most // 2, most - most // 4, most]]], dtype=kind)
        assert Levels().of(values, where="a")[0, 0].tolist() == [0, 127, 191, 255], kind
    sixteen = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256)
    old = np.clip((sixteen.astype(np.int64) + 128) // 257, 0, 255)
    assert (Levels().of(sixteen, where="a") == old).all(), "16 bits are what they have always been"
    with pytest.raises(InputError, match=r"picture of integers below 0; .* found -5 … 9"):
        Levels().of(np.array([[[-5, 9]]], dtype=np.int16), where="a")
    assert Levels((-5, 9)).of(np.array([[[-5, 9]]], dtype=np.int16), where="a").tolist() == [
        [[0, 255]]
    ]


@pytest.mark.parametrize(
    ("name", "kind", "scale"),
    [("a.png", "u2", 16), ("a.png", "u2", 1), ("a.tif", "u2", 4), ("a.tif", "i4", 1),
     ("a.tif", "i4", 10**4),
     ("a.tif", "u4", 1), ("a.tif", "i2", 2), ("a.npy", "u2", 16), ("a.npy", "i4", 1)],
)  # fmt: skip
def test_a_small_range_in_a_large_type_is_listed_as_broken(
    name: str, kind: str, scale: int, tmp_path: Path
) -> None:
    path = put(tmp_path / name, (galaxy() * scale).astype(kind))
    (_, why), *_ = ImageSet.of(path).check().broken
    assert (
        "grey levels of 256, fewer than 32: its contrast is lost; give --range" in why
        or "image is blank" in why
    )
    images = ImageSet.of(path, reading=Reading(range=(0, 255 * scale)))
    assert images.check().broken == () and number_of(images.pixels(0, VIEW)) > 40


def test_a_stored_tiff_of_32_bits_reaches_its_upper_half(tmp_path: Path) -> None:
    values = np.linspace(0, 2**32 - 1, SIDE * SIDE).astype(np.uint32).reshape(SIDE, SIDE)
    path = put(tmp_path / "a.tif", values)
    signed, unsigned = (struct.pack("<HHIHH", 339, 3, 1, kind, 0) for kind in (2, 1))
    assert signed in path.read_bytes(), "Pillow calls all 32-bit integers signed"
    path.write_bytes(path.read_bytes().replace(signed, unsigned))
    shown = ImageSet.of(path).pixels(0, VIEW)[..., 0]
    assert (np.diff(shown.ravel().astype(int)) >= 0).all() and shown.max() == 255


def test_colour_of_16_bits_has_no_range_since_its_lower_bits_are_not_read(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + np.arange(24, dtype=">u2").tobytes() for _ in range(8))
    head = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "a.png").write_bytes(data)
    assert "image is blank" in ImageSet.of(tmp_path).check().broken[0][1]
    with pytest.raises(
        InputError, match="colour picture of 16 bits; must be read over its whole range"
    ):
        ImageSet.of(tmp_path, reading=Reading(range=(0, 24))).pixels(0, View(size=8))


def test_stacks_of_other_values_are_read_once_they_are_explained(tmp_path: Path) -> None:
    flux = np.stack([galaxy(k) for k in range(3)]).astype("f4")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = flux
    with pytest.raises(
        InputError, match=r"images are not 8-bit; .*give --bands g,r,z, or --stretch NAME or"
    ):
        ImageSet.of(tmp_path / "a.h5")
    images = ImageSet.of(tmp_path / "a.h5", reading=Reading(range=(0, 255)))
    assert (
        np.abs(images.pixels(1, VIEW)[..., 0] - flux[1]).max() <= 0.5
        and images.check().broken == ()
    )
    named = ImageSet.of(tmp_path / "a.h5", bands=("r",))
    assert named.pixels(0, VIEW).std() > 5, "flux of a named band is stretched as FITS is"


def test_the_key_of_unchanged_pixels_is_unchanged_and_of_changed_ones_new(tmp_path: Path) -> None:
    grey = galaxy().astype("u1")
    for name in ("a.png", "b.jpg", "c.gif"):
        put(tmp_path / name, grey)
    put(tmp_path / "d.png", (galaxy() * 257).astype("u2"))
    put(tmp_path / "e.tif", (galaxy() * 257).astype("u2"))
    put(tmp_path / "f.tif", grey)
    images = ImageSet.of(tmp_path)
    assert images.digests() == [fingerprint.of_file(path) for path in sorted(tmp_path.iterdir())]
    framed = ImageSet.of(tmp_path, field=0.5).digest(0)
    assert framed == fingerprint.of({"image": images.digest(0), "field": 0.5, "bands": None})
    put(tmp_path / "g.tif", galaxy().astype("i4"))
    assert ImageSet.of(tmp_path).digest(6) != fingerprint.of_file(tmp_path / "g.tif"), (
        "32 bits were read otherwise"
    )
    ranged = [
        ImageSet.of(tmp_path, reading=Reading(range=limits)).digest(0)
        for limits in ((0, 255), (0, 100))
    ]
    assert len({*ranged, images.digest(0)}) == 3
    pinned = hash_of(images)
    assert pinned == hash_of(ImageSet.of(tmp_path, ids=images.ids, reading=Reading())), (
        "default reading changes nothing"
    )


def hash_of(images: ImageSet) -> str:
    return fingerprint.of(
        [fingerprint.of_array(images.pixels(row, VIEW)) for row in range(len(images))]
    )


def test_an_eight_bit_picture_of_few_levels_is_whole_and_warned_of(tmp_path: Path) -> None:
    put(tmp_path / "dark.png", (galaxy() / 20).astype("u1"))
    put(tmp_path / "fine.png", galaxy().astype("u1"))
    report = ImageSet.of(tmp_path).check()
    assert (
        report.broken == ()
        and [name for name, _ in report.shallow] == ["dark"]
        and report.shallow[0][1] < 14
    )
    assert report.asdict()["shallow"] == [{"id": "dark", "levels": report.shallow[0][1]}]


def test_values_of_a_reading_keep_their_rules() -> None:
    for limits in ((1, 0), (0, 0), (0, float("nan")), (0, float("inf"))):
        with pytest.raises(
            InputError, match="range of values; must be two numbers, LOW below HIGH"
        ):
            Reading(range=limits)
    with pytest.raises(InputError, match="range and stretch; must be one or the other"):
        Reading(range=(0, 1), stretch="lupton")
    with pytest.raises(UnknownNameError, match=r"unknown stretch.*did you mean 'quantile'"):
        Reading(stretch="quantiles")
    with pytest.raises(InputError, match="names of the bands; must name each band once"):
        Reading(bands=("g", "g"))
    with pytest.raises(InputError, match="prefer; must be picture or bands, found both"):
        Reading(prefer="both")  # type: ignore[arg-type]


# The command line


NET = ("--backbone", "resnet18", "--weights", "none", "--view", "size=32")
VERBS = (
    "check",
    "sample",
    "extract",
    "finetune",
    "predict",
    "export",
    "map",
    "similar",
    "odd",
    "duplicates",
    "doubt",
    "explain",
)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_reads_images_has_the_same_options(verb: str) -> None:
    said = gz(verb, "--help").stdout
    for flag in (
        "--range LOW HIGH",
        "--stretch",
        "--bands",
        "--science",
        "--prefer <picture|bands>",
        "--ids-from",
    ):
        assert flag in said, flag
    assert said.index("--ids-from") < said.index("--json")


def test_extract_refuses_floats_reads_them_in_a_range_and_warns_of_few_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GZFEATURES_STORE", str(tmp_path / "store"))
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(3):
        put(folder / f"g{k}.tif", (galaxy(k) / 255).astype("f4"))
    refused = gz("extract", folder, *NET, "-o", tmp_path / "t.parquet")
    assert (
        refused.returncode == 1
        and "32-bit floats" in refused.stderr
        and len(refused.stderr.splitlines()[-1]) < 400
    )
    read = gz("extract", folder, *NET, "-o", tmp_path / "t.parquet", "--range", "0", "1", "--json")
    assert (
        read.returncode == 0
        and json.loads(read.stdout)["computed"] == 3
        and "grey levels" not in read.stderr
    )
    wide = gz(
        "extract", folder, *NET, "-o", tmp_path / "wide.parquet", "--range", "-20", "20", "--json"
    )
    assert json.loads(wide.stdout)["computed"] == 3, "another range is another key"
    assert "warning: 3 images have fewer than 32 grey levels, such as g0" in wide.stderr


def test_check_warns_of_few_levels(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("galaxy_id\na\n")
    (tmp_path / "images").mkdir()
    put(tmp_path / "images" / "a.png", (galaxy() / 20).astype("u1"))
    result = gz("check", tmp_path / "c.csv", "--images", tmp_path / "images", "--json")
    assert "1 of 1 images have fewer than 32 grey levels, such as a with" in result.stderr
    assert json.loads(result.stdout)["images"]["shallow"][0]["id"] == "a"


def test_an_experiment_says_how_its_images_are_read(tmp_path: Path) -> None:
    from gzfeatures.experiment.config import load

    head = (
        f'name = "x"\n[galaxies]\ncatalog = "{tmp_path}/c.csv"\n'
        f'images = "{tmp_path}"\nfield = 0.5\n'
    )
    tail = '[[networks]]\nname = "resnet18"\n'
    (tmp_path / "plain.toml").write_text(head + tail)
    (tmp_path / "said.toml").write_text(
        head + "[galaxies.reading]\nrange = [0, 4095]\nids_from = 'objid'\n" + tail
    )
    plain, said = load(tmp_path / "plain.toml"), load(tmp_path / "said.toml")
    assert plain.galaxies.how == Reading(field=0.5)
    assert said.galaxies.how == Reading(range=(0, 4095), ids_from="objid", field=0.5)
    assert plain.fingerprint != said.fingerprint
    changed = load(tmp_path / "plain.toml", ["galaxies.reading.stretch=lupton"])
    assert changed.galaxies.how.stretch == "lupton"
    (tmp_path / "bad.toml").write_text(head + "[galaxies.reading]\nrange = [1, 0]\n" + tail)
    with pytest.raises(InputError, match="range of values; must be two numbers, LOW below HIGH"):
        load(tmp_path / "bad.toml")


def test_levels_are_counted_in_all_pixels_where_a_few_do_not_show_enough() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[1::4, 1::4] = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert number_of(pixels) == 256 and number_of(pixels[:8]) == 32
