"""Pictures: what a faster decoder makes of a JPEG is what Pillow makes of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from gzfeatures.errors import InputError
from gzfeatures.images.decoding import decode_rgb as module
from gzfeatures.images.decoding.decode_rgb import decode_rgb, picture


def noise(height: int, width: int, bands: int = 3) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, bands), dtype=np.uint8)
    return pixels if bands > 1 else pixels[..., 0]


def jpeg(image: Image.Image | np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
        file, "JPEG", **options
    )
    return file.getvalue()


def by_pillow(data: bytes) -> np.ndarray:
    return np.asarray(picture(data, where="here").convert("RGB"))


PLAIN = [
    {},
    {"subsampling": 0},
    {"subsampling": 1},
    {"progressive": True},
    {"keep_rgb": True},
    {"quality": 30},
]


@pytest.mark.parametrize("options", PLAIN)
def test_a_jpeg_has_the_pixels_pillow_gives_it(
    options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = jpeg(Image.fromarray(noise(9, 11)).resize((117, 93)), **options)
    expected = by_pillow(data)
    monkeypatch.setattr(module, "picture", None)  # it is not asked
    found = decode_rgb(data, where="here", max_pixels=117 * 93)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.uint8 and found.flags.writeable


def test_other_pictures_are_left_to_pillow() -> None:
    turned, png = Image.Exif(), io.BytesIO()
    turned[0x0112] = 6
    Image.fromarray(noise(20, 30)).save(png, "PNG")
    cmyk = Image.fromarray(noise(20, 30)).convert("CMYK")
    for data in (
        jpeg(noise(20, 30, 1)),
        jpeg(noise(20, 30), exif=turned),
        jpeg(cmyk),
        png.getvalue(),
    ):
        np.testing.assert_array_equal(decode_rgb(data, where="here"), by_pillow(data))
    assert decode_rgb(jpeg(noise(20, 30), exif=turned), where="here").shape == (30, 20, 3)
    with pytest.raises(
        InputError, match="image is too large to decode; must hold at most 599 pixels, found 30×20"
    ):
        decode_rgb(jpeg(noise(20, 30)), where="here", max_pixels=599)


def test_a_damaged_jpeg_is_as_good_or_as_bad() -> None:
    whole, random, judged = jpeg(noise(64, 64), quality=80), np.random.default_rng(0), set()
    for _ in range(400):
        data = bytearray(
            whole[: random.integers(4, len(whole) + 1)] if random.random() < 0.5 else whole
        )
        for place in random.integers(3, len(data), random.integers(0, 3)):
            data[place] = random.integers(256)
        outcomes: list[np.ndarray | str] = []
        for read in (by_pillow, lambda data: decode_rgb(data, where="here")):
            try:
                outcomes.append(read(bytes(data)))
            except InputError as error:
                outcomes.append(str(error))
        np.testing.assert_array_equal(*outcomes)
        judged.add(type(outcomes[0]))
    assert judged == {np.ndarray, str}
