"""Pixel scale and Petrosian radius cut from any image what a Galaxy Zoo frame shows."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image
from tables_of import table_of

from gzfeatures.errors import InputError
from gzfeatures.explore.duplicates import duplicates
from gzfeatures.features.exchange.table_join import joined_rows
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.images.framing import FRAME_RADII, Framing
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.reading import Reading
from gzfeatures.images.view import View

VIEW = View(size=96, crop=0.4)
NAMES = np.array(["native", "wide"], dtype=object)


def framing(scale: float = 0.396, radius: float = 19.8, wide: float | None = None) -> Framing:
    """A radius of 50 px, as Galaxy Zoo frames of 424 px have it, or another one for `wide`."""
    radii = np.array([radius, radius if wide is None else wide])
    return Framing(NAMES, np.full(2, scale), radii, ("scale", "petroR90_r"))


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    """A frame of 424 px, and the same galaxy in the middle of a field of twice the side."""
    pixels = np.random.default_rng(0).integers(0, 256, (424, 424, 3), dtype=np.uint8)
    field = np.random.default_rng(1).integers(0, 256, (848, 900, 3), dtype=np.uint8)
    field[212:636, 238:662] = pixels
    Image.fromarray(pixels).save(tmp_path / "native.png")
    Image.fromarray(field).save(tmp_path / "wide.png")
    return ImageSet.of(tmp_path)


def test_a_frame_is_424_pixels_of_a_fiftieth_of_the_radius() -> None:
    assert pytest.approx(8.48) == FRAME_RADII
    assert framing().frame_pixels("wide") == pytest.approx(424)


def test_a_galaxy_in_a_wider_field_is_cut_as_in_its_frame(images: ImageSet) -> None:
    plain = images.pixels(0, VIEW)
    framed = images.framed(framing())
    for row in (0, 1):
        # the window lies elsewhere in the file, so that resampling may round otherwise
        assert np.abs(framed.pixels(row, VIEW).astype(int) - plain).max() <= 1
    assert not np.array_equal(images.pixels(1, VIEW), plain)
    # the engine is told the same crop of each picture
    crops = [framed.network_input(row, [VIEW]).crops[0] for row in (0, 1)]  # type: ignore[union-attr]
    assert crops == pytest.approx([0.4, 0.2])


def test_equal_files_are_one_image_whatever_their_crops_are(
    images: ImageSet, tmp_path: Path
) -> None:
    (tmp_path / "again.png").write_bytes((tmp_path / "native.png").read_bytes())
    names = np.array(["again", "native", "wide"], dtype=object)
    radii = np.array([20.2, 19.8, 19.8])
    framed = ImageSet.of(tmp_path).framed(
        Framing(names, np.full(3, 0.396), radii, ("scale", "petroR90_r"))
    )
    digests = framed.digests()
    assert len(set(digests)) == 3 and all(len(each) == 64 for each in digests)
    assert framed.duplicate_groups() == {"again": "again", "native": "again"}
    # an embedding table knows the digests alone
    table = table_of(np.random.default_rng(0).normal(size=(3, 4)), digests, names.tolist())
    assert not table.groups
    framing_of = framed.framing
    assert framing_of is not None
    table = replace(table, framing=framing_of.asdict())
    assert table.groups == {"again": "again", "native": "again"}
    assert not replace(table, digests=np.array(["0" * 64] * 3, dtype=object)).groups
    pairs = duplicates(table_with(table, 20), chance=1e-9)
    assert pairs.loc[pairs["same_image"], ["galaxy_id", "twin"]].to_numpy().tolist() == [
        ["again", "native"]
    ]
    # a network that was trained on the file knows it again under any crop and id
    known = TrainedOn.of(["x"], files=[images.digest(0)])
    assert known.contains(names, files=digests).tolist() == [True, True, False]


def table_with(table: EmbeddingTable, others: int) -> EmbeddingTable:
    """The table with further galaxies of files of their own."""
    more = table_of(
        np.random.default_rng(1).normal(size=(others, 4)),
        [f"{row + 1:02}" + "ab" * 31 for row in range(others)],
    )
    more = replace(more, framing=table.framing)
    return joined_rows([table, more])


def test_the_bytes_of_a_file_are_compared_whatever_options_read_them(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (32, 32), "red").save(tmp_path / name / f"{name}.png")
    half = ImageSet.of(tmp_path / "two", field=0.5)
    both = ImageSet.of(tmp_path / "one").joined(half)
    assert len(set(both.digests())) == 2
    assert both.duplicate_groups() == {"one": "one", "two": "one"}


def test_twice_the_radius_shows_twice_the_sky_and_has_another_digest(images: ImageSet) -> None:
    once, twice = (images.framed(framing(wide=radius)) for radius in (19.8, 39.6))
    assert twice.network_input(1, [VIEW]).crops[0] == pytest.approx(0.4)  # type: ignore[union-attr]
    assert once.digest(1) != twice.digest(1) and once.digest(0) == twice.digest(0)
    assert len({images.digest(0), once.digest(0)}) == 2 and once.stamp() != twice.stamp()


def test_bands_are_cut_by_their_frames_too(tmp_path: Path) -> None:
    flux = np.random.default_rng(2).normal(10, 3, (3, 200, 200)).astype(np.float32)
    for name, cut in (("native", slice(50, 150)), ("wide", slice(0, 200))):
        header = fits.Header({"BANDS": "gri"})
        fits.PrimaryHDU(flux[:, cut, cut], header).writeto(tmp_path / f"{name}.fits")
    values = Reading(range=(0, 20))
    # frames of 100 px
    framed = ImageSet.of(tmp_path, reading=values).framed(framing(FRAME_RADII / 100, 1.0))
    native, wide = (framed.pixels(row, View(size=40, crop=0.4)) for row in (0, 1))
    assert np.abs(native.astype(int) - wide).max() <= 1 and native.std() > 20


@pytest.mark.parametrize(
    ("radius", "words"),
    [
        (np.nan, "petroR90_r sets the crop; must be a number above 0, found no value"),
        (0.0, "petroR90_r sets the crop; must be a number above 0, found 0"),
        (-9999.0, "petroR90_r sets the crop; must be a number above 0, found -9999"),
        (np.inf, "petroR90_r sets the crop; must be a number above 0, found inf"),
        (
            0.0055,
            r"frame of 8.48 Petrosian radii; must have 20 pixels or more, found 0.11.* "
            r"arcsec at 0.396",
        ),
    ],
)
def test_a_missing_or_impossible_radius_is_refused_not_replaced(
    radius: float, words: str, images: ImageSet
) -> None:
    framed = images.framed(framing(wide=radius))
    framed.digest(0)
    for ask in (lambda: framed.digest(1), lambda: framed.pixels(1, VIEW)):
        with pytest.raises(InputError, match=f"wide: {words}"):
            ask()


def test_a_pixel_scale_of_zero_and_a_galaxy_outside_the_catalog_are_refused(
    images: ImageSet,
) -> None:
    with pytest.raises(InputError, match="scale sets the crop; must be a number above 0, found 0"):
        images.framed(framing(scale=0.0)).digest(0)
    one = Framing(NAMES[:1], np.ones(1), np.ones(1) * 50, ("scale", "petroR90_r"))
    with pytest.raises(InputError, match="wide: galaxy has no crop; must have scale and petroR90"):
        images.framed(one).digest(1)


def test_an_image_that_holds_less_than_the_view_is_refused(images: ImageSet) -> None:
    with pytest.raises(
        InputError, match=r"native.png: view is wider than the image; must have 509 pixels across"
    ):
        images.framed(framing(radius=59.4)).pixels(0, VIEW)


def test_parts_of_a_frame_are_not_framed_again(images: ImageSet) -> None:
    with pytest.raises(InputError, match="field of the images; must be left out"):
        ImageSet.of(
            Path(images.galaxy_files[0].archive.path), reading=Reading(field=240 / 424)
        ).framed(framing())


def test_a_refused_image_never_has_as_many_pixels_as_it_should_have(images: ImageSet) -> None:
    for radius in np.linspace(59.4, 59.6, 21):
        with pytest.raises(InputError, match="wider than the image") as refused:
            images.framed(framing(radius=radius)).pixels(0, VIEW)
        wanted, found = re.findall(r"must have (\d+) pixels .* found (\d+)", str(refused.value))[0]
        assert int(wanted) > int(found)
