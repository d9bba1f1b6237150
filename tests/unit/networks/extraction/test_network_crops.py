from __future__ import annotations

import tempfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gzfeatures.images.galaxy_files import WholePicture
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.network_crops import batch_views, to_views

CPU = torch.device("cpu")


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    height=st.integers(8, 90),
    width=st.integers(8, 90),
    size=st.integers(8, 60),
    crop=st.floats(0.2, 1.0),
    grey=st.booleans(),
    filter_=st.sampled_from(("bilinear", "bicubic")),
)
def test_views_made_on_the_device_are_those_of_pillow_to_one_level(
    height: int, width: int, size: int, crop: float, grey: bool, filter_: str
) -> None:
    view = View(size=size, crop=crop, grey=grey, interpolation=filter_)
    pixels = picture(height, width)
    (there,) = batch_views([WholePicture(pixels, (crop,))], [view], CPU)
    here = view.apply(pixels)
    assert there.shape == (1, size, size, 3) and there.dtype == torch.uint8
    assert np.abs(there[0].numpy().astype(int) - here).max() <= 1


def test_a_picture_of_the_size_asked_for_is_left_alone() -> None:
    pixels = picture(24, 24)
    (there,) = batch_views([WholePicture(pixels, (1.0,))], [View(size=24)], CPU)
    np.testing.assert_array_equal(there[0], pixels)


def test_images_of_many_sizes_and_kinds_keep_their_order() -> None:
    views = [View(size=16), View(size=12, crop=0.5)]
    pixels = [picture(30, 40, 0), picture(50, 50, 1), picture(30, 40, 2), picture(20, 20, 3)]
    sights = [WholePicture(each, (1.0, 0.5)) for each in pixels]
    mixed = [*sights[:3], tuple(view.apply(pixels[3]) for view in views)]
    for many in (sights, mixed):
        for there, view in zip(batch_views(many, views, CPU), views, strict=True):
            here = np.stack([view.apply(each) for each in pixels])
            assert np.abs(there.numpy().astype(int) - here).max() <= 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_views_on_a_gpu_are_those_on_the_cpu() -> None:
    frames, view = (
        [WholePicture(picture(424, 424, seed), (0.6,)) for seed in range(4)],
        View(size=96, crop=0.6),
    )
    (near,), (far,) = (
        batch_views(frames, [view], CPU),
        batch_views(frames, [view], torch.device("cuda")),
    )
    assert (near.int() - far.cpu().int()).abs().max() <= 1


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    height=st.integers(8, 90),
    width=st.integers(8, 90),
    size=st.integers(8, 120),
    crop=st.one_of(st.just(1.0), st.floats(0.2, 1.0)),
    grey=st.booleans(),
    square=st.booleans(),
)
def test_views_made_on_the_cpu_are_those_of_pillow_to_one_level(
    height: int, width: int, size: int, crop: float, grey: bool, square: bool
) -> None:
    view, pixels = (
        View(size=size, crop=crop, grey=grey),
        picture(height, height if square else width),
    )
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(pixels).save(f"{folder}/1.png")
        images = ImageSet.of(folder)
        (there,), here = to_views(images, 0, (view,)), images.pixels(0, view)
    assert there.shape == (size, size, 3) and there.dtype == np.uint8
    assert np.abs(there.astype(int) - here).max() <= 1
