"""What is measured on pixels: qualities of JPEG files, noise, sharpness, saturation, each where it
is known."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from gzfeatures.audit.probes.pixels import jpeg_quality, measured, measured_all, pixel_nuisances
from gzfeatures.images.image_set import ImageSet

RNG = np.random.default_rng(0)
Y, X = np.mgrid[:128, :128] - 63.5
GALAXY = (180 * np.exp(-np.hypot(X, Y) / 9))[..., None].repeat(3, 2)


def picture(sigma: float = 2.0) -> np.ndarray:
    return np.clip(GALAXY + 20 + RNG.normal(0, sigma, GALAXY.shape), 0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 90, 95, 100])
def test_the_quality_of_a_jpeg_is_that_it_was_written_with(quality: int) -> None:
    assert jpeg_quality(encoded(picture(), quality=quality)) == quality
    assert jpeg_quality(encoded(picture(), quality=quality, progressive=True)) == quality


def test_other_tables_and_other_files_have_no_quality() -> None:
    assert jpeg_quality(b"") is None
    assert jpeg_quality(b"\xff\xd8\xff\xe0 damaged") is None
    odd = encoded(picture(), qtables=[[200] + [1] * 63, [1] * 64])
    assert jpeg_quality(odd) is None


@pytest.mark.parametrize("sigma", [3.0, 8.0])
def test_noise_is_what_was_added_and_a_galaxy_is_none(sigma: float) -> None:
    grey = np.sqrt(1 / 3)  # the mean of three channels of independent noise
    found = measured(picture(sigma)).noise
    assert found == pytest.approx(sigma * grey, rel=0.12)
    smooth = measured(np.rint(GALAXY + 20).astype(np.uint8)).noise
    assert smooth is not None and smooth < 0.5


def test_a_blurred_image_is_less_sharp_and_white_pixels_are_counted() -> None:
    sharp = picture()
    blurred = np.asarray(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(2)))
    one, other = measured(sharp).sharpness, measured(blurred).sharpness
    assert one is not None and other is not None and other < one - 0.3
    white = sharp.copy()
    white[:32, :32] = 255
    assert measured(white).saturation == pytest.approx(1 / 16)
    flat = measured(np.full((32, 32, 3), 7, dtype=np.uint8))
    assert (flat.sharpness, flat.noise, flat.saturation) == (None, None, 0)


def test_images_of_a_folder_become_nuisances_and_a_broken_one_has_none(tmp_path: Path) -> None:
    for row in range(70):
        data = encoded(picture(2 + row % 5), quality=(80, 95)[row % 2])
        (tmp_path / f"{row:03d}.jpg").write_bytes(b"no image" if row == 3 else data)
    images = ImageSet.of(tmp_path)
    numbers = [each.by_name() for each in measured_all(images)]
    made, left_out = pixel_nuisances(images, numbers)
    found = {nuisance.name: nuisance for nuisance in made}
    assert set(found) == {"sharpness", "noise", "JPEG quality"}
    assert found["JPEG quality"].measure == "AUROC" and "003" not in found["noise"].ids
    assert [name for name, _ in left_out] == ["saturation"]
