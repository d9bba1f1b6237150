"""View: the same image under the same view is the same array, and nothing in a view is random."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.images.view import View


def ramp(width: int = 60, height: int = 40) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 4, y * 6, (x + y) * 2], 2).astype(np.uint8))


def test_crop_is_central_and_a_share_of_the_shorter_side() -> None:
    image = ramp()
    whole = View(size=40).apply(image)
    assert (whole == np.asarray(image)[:, 10:50]).all()
    half = View(size=20, crop=0.5).apply(image)
    assert (half == np.asarray(image)[10:30, 20:40]).all()


def test_size_and_crop_one_leave_a_fitting_image_alone() -> None:
    image = ramp(40, 40)
    assert (View(size=40).apply(image) == np.asarray(image)).all()


def test_grey_is_luminance_three_times() -> None:
    pixels = View(size=16, grey=True).apply(ramp())
    assert (pixels[..., :1] == pixels).all()
    expected = View(size=16).apply(ramp()).astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(pixels[..., 0] - expected).max() <= 2


def test_arrays_keep_their_channels() -> None:
    image = np.asarray(ramp(40, 40))
    assert (View(size=16).apply(image) == View(size=16).apply(ramp(40, 40))).all()
    five = np.concatenate([image, image[..., :2]], axis=2)
    pixels = View(size=16).apply(five)
    assert pixels.shape == (16, 16, 5) and (pixels[..., :3] == View(size=16).apply(image)).all()
    with pytest.raises(
        InputError, match="grey view; must see three bands, found 5; name three bands"
    ):
        View(size=16, grey=True).apply(five)


def test_text_is_read_on_top_of_a_base() -> None:
    base = View(size=64, grey=True)
    assert View.parse("crop=0.5", base) == View(size=64, crop=0.5, grey=True)
    assert View.parse(" size=96, grey=false ,bands=i+r+g,stretch=engel", base) == View(
        96, bands=("i", "r", "g"), stretch="engel"
    )
    assert View.parse("", base) == base and View.parse("") == View()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "zoom=2",
            r"unknown field .* size, crop, grey, bands, stretch, interpolation, found zoom",
        ),
        ("size=big", "view field cannot be read, found size=big"),
        ("grey=perhaps", "view field cannot be read, found grey=perhaps"),
        ("size=4", "view size; must lie in 8…4096 px, found 4"),
        ("crop=0", r"view crop; must lie in \(0, 1\], found 0"),
        ("crop=nan", r"view crop; must lie in \(0, 1\], found nan"),
        ("bands=g+g", "view bands; must name each band once"),
        ("bands=", "view bands; must name each band once"),
    ],
)
def test_fields_keep_their_rules(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        View.parse(text)


def test_an_unknown_stretch_lists_the_legal_ones() -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"unknown stretch; must be one of lupton, engel.*did you mean 'lupton'",
    ):
        View(stretch="luptn")


@settings(derandomize=True, deadline=None)
@given(
    st.builds(
        View,
        size=st.integers(8, 64),
        crop=st.floats(0.05, 1),
        grey=st.booleans(),
        bands=st.none() | st.permutations("grz").map(tuple),
        stretch=st.none() | st.sampled_from(["lupton", "engel"]),
    )
)
def test_a_view_survives_json_and_sees_the_same_twice(view: View) -> None:
    again = View(**json.loads(json.dumps(view.asdict())))
    assert again == view and again.asdict() == view.asdict()
    assert (view.apply(ramp()) == again.apply(ramp())).all()
    assert view.apply(ramp()).shape == (view.size, view.size, 3)


def test_no_field_is_a_probability() -> None:
    assert {field.name for field in dataclasses.fields(View)} == {
        "size",
        "crop",
        "grey",
        "bands",
        "stretch",
        "interpolation",
    }


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [9, 40, 130])
def test_an_array_and_a_picture_give_the_same_pixels_to_one_level_under_every_filter(
    interpolation: str, size: int
) -> None:
    # of an array only the part around the crop is resampled, whose margin the filter decides
    pixels = np.random.default_rng(0).integers(0, 255, (90, 70, 3), dtype=np.uint8)
    view = View(size=size, crop=0.41, interpolation=interpolation)
    difference = view.apply(pixels).astype(int) - view.apply(Image.fromarray(pixels))
    assert np.abs(difference).max() <= 1
