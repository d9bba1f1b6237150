"""HCOMPRESS streams are fenced in: what is cut short is refused, and nothing is read behind it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from astropy.io import fits

from gzfeatures.errors import InputError
from gzfeatures.fits.hcompress import FILLINGS, fenced
from gzfeatures.images.decoding.fits_planes import planes

Numbers = npt.NDArray[Any]


def noise(dtype: str, shape: tuple[int, ...] = (37, 50)) -> Numbers:
    return np.random.default_rng(3).normal(400, 90, shape).astype(dtype)


def packed(*images: Numbers, tile: tuple[int, ...] = (16, 20), **settings: Any) -> bytes:
    """A file with a plain plane, and each image in HCOMPRESS tiles, those at the edges shorter."""
    units = [fits.CompImageHDU(image, None, "SCI", "HCOMPRESS_1", tile_shape=tile, **settings)
             for image in images]  # fmt: skip
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *units, fits.ImageHDU(noise("i2"), name="ERR")]).writeto(file)
    return file.getvalue()


def streams(data: bytes, unit: int = 1) -> list[bytes]:
    """The stored tiles of a unit."""
    with fits.open(io.BytesIO(data), disable_image_compression=True) as units:
        return [bytes(tile) for tile in units[unit].data["COMPRESSED_DATA"]]


def cut(data: bytes, tile: int, missing: int) -> bytes:
    """A file of which one tile is said to be some bytes shorter than it is."""
    with fits.open(io.BytesIO(data), disable_image_compression=True) as units:
        place, step = units.fileinfo(1)["datLoc"], int(units[1].header["NAXIS1"])
    at = place + tile * step
    length = int.from_bytes(data[at : at + 4], "big") - missing
    return data[:at] + length.to_bytes(4, "big") + data[at + 4 :]


WHOLE: dict[str, bytes] = {
    "integers": packed(noise("i2")),
    "wide integers": packed(noise("i4") * 1000),
    "floats, quantised": packed(noise("f4"), quantize_level=4),
    "floats, dithered": packed(noise("f8"), quantize_method=1, dither_seed=5),
    "lossy and smoothed": packed(noise("i4"), hcomp_scale=4, hcomp_smooth=1),
    "one tile": packed(noise("i2"), tile=(37, 50)),
    "constant": packed(np.full((37, 50), 7, np.int16)),
    "two images": packed(noise("i2"), noise("i4")[::-1]),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_streams_give_the_pixels_that_they_give_unfenced(kind: str) -> None:
    data = WHOLE[kind]
    with fits.open(io.BytesIO(data)) as units:
        expected = [np.array(unit.data) for unit in units if unit.name == "SCI"]
    found = planes(data, where="a.fits", max_pixels=10**6)
    assert len(found) == len(expected)
    for plane, values in zip(found, expected, strict=True):
        np.testing.assert_array_equal(plane.values, values)


@pytest.mark.parametrize("kind", WHOLE)
def test_behind_every_stream_lie_more_bytes_than_can_be_read_there(kind: str) -> None:
    data = WHOLE[kind]
    files = fenced(data, "a.fits")
    assert files is not None
    for file, filling in zip(files, FILLINGS, strict=True):
        for stored, stream in zip(streams(data), streams(file), strict=True):
            fence = stream[len(stored) :]
            assert stream.startswith(stored) and set(fence) == {filling}
            # three bits for each pixel of a whole tile, or of one at an edge
            assert len(fence) * 8 > 3 * 5 * 10
    with fits.open(io.BytesIO(files[0])) as units:
        units.verify("exception")
        assert [unit.name for unit in units][-1] == "ERR"
        np.testing.assert_array_equal(units["ERR"].data, noise("i2"))


@pytest.mark.parametrize("kind", ["integers", "wide integers", "one tile", "floats, quantised"])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_stream_without_its_last_bytes_is_refused(kind: str, missing: int) -> None:
    # unguarded, one or two bytes behind it would be read: within what Python allots to any bytes
    with pytest.raises(InputError, match=r"FITS file is damaged.*(cut short|plane|format)"):
        planes(cut(WHOLE[kind], 0, missing), where="a.fits", max_pixels=10**6)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_of_a_stream_cut_anywhere_only_the_fence_is_read(share: float) -> None:
    data = WHOLE["one tile"]
    missing = int(len(streams(data)[0]) * share) - 26
    files = fenced(cut(data, 0, missing), "a.fits")
    assert files is not None
    results = []
    for file in files:
        try:
            with fits.open(io.BytesIO(file)) as units:
                results.append(np.array(units[1].data).tobytes())
        except Exception as error:
            results.append(repr(error).encode())
    assert results[0] != results[1] or b"bad" in results[0]


def test_more_bit_planes_than_integers_have_are_refused() -> None:
    data = WHOLE["integers"]
    place = data.index(b"\xdd\x99") + 22
    with pytest.raises(InputError, match="have at most 64 bit planes in HCOMPRESS tiles, found 65"):
        planes(data[:place] + b"\x41" + data[place + 1 :], where="a.fits", max_pixels=10**6)


def test_files_without_such_streams_are_handed_on_as_they_are() -> None:
    file = io.BytesIO()
    unit = fits.CompImageHDU(noise("i2"), compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(file)
    assert fenced(file.getvalue(), "a.fits") is None
