"""Pictures and bands that show no galaxy."""

from __future__ import annotations

import numpy as np
import pytest

from gzfeatures.images.decoding.bands import Bands
from gzfeatures.images.emptiness import of_bands, of_picture


@pytest.mark.parametrize(
    ("colour", "reason"),
    [
        ((0, 0, 0), "image is blank: every pixel is [0, 0, 0]"),
        ((255, 255, 255), "image is saturated: every pixel is [255, 255, 255]"),
        ((9, 9, 8), "image is of a single colour: every pixel is [9, 9, 8]"),
    ],
)
def test_a_flat_picture_is_named_and_one_other_pixel_saves_it(
    colour: tuple[int, ...], reason: str
) -> None:
    pixels = np.empty((50, 40, 3), dtype=np.uint8)
    pixels[:] = colour
    assert of_picture(pixels) == reason
    pixels[17, 3, 1] ^= 1
    assert of_picture(pixels) is None


def test_a_grey_picture_has_one_value() -> None:
    assert of_picture(np.full((9, 9), 255, np.uint8)) == "image is saturated: every pixel is 255"


def bands(bad_share: float, uncovered_share: float = 0.0) -> Bands:
    flux = np.random.default_rng(0).normal(size=(2, 100, 100)).astype(np.float32)
    bad, uncovered = np.zeros(flux.shape, dtype=bool), np.zeros(flux.shape, dtype=bool)
    uncovered[1, :, : round(100 * uncovered_share)] = True
    left = round(100 * uncovered_share)
    bad[1, :, left : left + round(100 * bad_share)] = True
    return Bands(("g", "r"), flux, bad | uncovered, None, uncovered)


def test_mostly_bad_bands_show_nothing_and_some_bad_pixels_hide_nothing() -> None:
    assert of_bands(bands(0.3)) is None and bands(0.3).faults() == ["band r has 30.0% bad pixels"]
    assert of_bands(bands(0.6)) == "band r has 60.0% bad pixels"


def test_a_margin_that_a_shift_left_uncovered_is_no_bad_pixel() -> None:
    shifted = bands(0.05, uncovered_share=0.45)
    assert shifted.faults() == [] and of_bands(shifted) is None
    # 30 of the 55 covered columns are bad
    assert of_bands(bands(0.3, uncovered_share=0.45)) == "band r has 54.5% bad pixels"
    assert shifted.select(["r"]).faults() == []
