"""Hash pictures by the signs of 256 low frequencies, which survive compression and resizing.

The central 240 of 424 pixels of a Galaxy Zoo picture are resized to 64 × 64, and a cosine transform
is computed. The hash contains the signs of the 256 lowest frequencies without the mean (perceptual
hashing by DCT signs; Zauner 2010, "Implementation and benchmarking of perceptual image hash
functions"). A change of brightness, contrast, size or compression changes few signs; the pictures
of two different galaxies differ in about half of the signs. Two pictures of one galaxy from
different exposures, or with different crops, count as different pictures.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

SIZE, MIDDLE = 64, 240 / 424
"""Side in pixels of the resized picture, and its share of the side of Galaxy Zoo's picture."""
BITS, BYTES = 256, 32
FEWEST = 36
"""Least side of the central square: with fewer pixels, hashes of different pictures are alike."""
CUT_OUT = 256
"""Largest side in pixels of a picture that may itself be a crop of Galaxy Zoo's picture."""
FAINTEST = 4.0
"""Least amplitude of the strongest frequency, in grey levels; a flatter picture has no hash."""
LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in the luminance (ITU-R 601)."""
LARGEST_PRODUCT = 200_000
"""Most multiplications of a matrix product on one thread; OpenBLAS splits above 262,144."""
NOTHING = bytes(BYTES)
"""Replaces the hash of a picture that has none."""


def _frequencies() -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return row and column of the 256 lowest frequencies, without the mean, in the hash's order.

    Neighbouring bits of the hash are 16 frequencies apart, so that every 16 bits contain low and
    high frequencies alike.
    """
    # sort frequencies from low to high, like the zigzag order of JPEG, and leave out the mean
    down, across = np.indices((SIZE, SIZE)).reshape(2, -1)
    order = np.lexsort((across, down, down**2 + across**2))[1 : BITS + 1].reshape(16, 16).T.ravel()
    return down[order], across[order]


DOWN, ACROSS = _frequencies()
COUNT = int(max(DOWN.max(), ACROSS.max())) + 1


@lru_cache(maxsize=64)
def _transform(length: int, side: float) -> tuple[slice, npt.NDArray[np.float32]]:
    """Return a slice of the central pixels of a row or column, and their weight in each cosine."""
    scale = side / SIZE
    reach = max(scale, 1.0)
    # shrink the picture to `SIZE` pixels per side: weight its pixels with a triangular function two
    # small pixels wide, as Pillow's bilinear filter does
    centres = (length - side) / 2 + (np.arange(SIZE) + 0.5) * scale
    first = max(0, int(np.floor(centres[0] - reach)))
    part = slice(first, min(length, int(np.ceil(centres[-1] + reach))))
    pixels = np.arange(part.start, part.stop) + 0.5
    shares = np.clip(1 - np.abs(pixels - centres[:, None]) / reach, 0, None)
    shares /= shares.sum(1, keepdims=True)
    # orthonormal discrete cosine transform (DCT-II); the mean, whose sign is always positive, is
    # not used
    waves = np.cos(np.pi * np.arange(COUNT)[:, None] * (np.arange(SIZE) + 0.5) / SIZE) * np.sqrt(
        2 / SIZE
    )
    return part, (waves @ shares).astype(np.float32)


def _signs(pixels: npt.NDArray[np.uint8], share: float) -> bytes:
    """Return the hash of a picture's central square; zero bytes if it is flat or too small."""
    height, width = pixels.shape[:2]
    side = share * min(height, width)
    if share > 1 + 1e-6 or side < FEWEST:
        return NOTHING
    down, rows = _transform(height, side)
    across, columns = _transform(width, side)
    light = _first_product(rows, pixels[down, across])
    waves = (light @ columns.T)[DOWN, ACROSS]
    # in a flat picture the signs come from rounding errors, so return no hash: two unrelated flat
    # pictures could have equal hashes
    if np.abs(waves).max() < FAINTEST:
        return NOTHING
    return np.packbits(waves > 0).tobytes()


def _first_product(
    rows: npt.NDArray[np.float32], window: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """Return the cosine transform of a colour picture's luminance along each of its columns.

    Luminance is used because it survives JPEG compression better than colour. A few rows are
    multiplied at a time, so that the numbers fit into the processor's cache, and OpenBLAS computes
    each small product on one thread. With several threads in OpenBLAS, started by each of the
    threads that decode, waiting would take ten times as long as the product.

    Parameters
    ----------
    rows : ndarray of float32, shape (COUNT, height)
    window : ndarray of uint8, shape (height, width, 3)

    Returns
    -------
    ndarray of float32, shape (COUNT, width)
    """
    height, width = window.shape[:2]
    step = max(1, LARGEST_PRODUCT // (len(rows) * width))
    transformed = np.zeros((len(rows), width), dtype=np.float32)
    for start in range(0, height, step):
        band = slice(start, start + step)
        transformed += rows[:, band] @ (window[band].astype(np.float32) @ LUMINANCE)
    return transformed


def picture_hash(pixels: npt.NDArray[np.uint8], field: float = 1.0) -> bytes:
    """Hash a picture in 64 bytes: 32 for its centre, then 32 for the whole picture, or zeros.

    The whole picture is hashed only if it has at most 256 pixels on its shorter side and `field` is
    1: then it may itself be a crop of the centre of Galaxy Zoo's picture.

    Parameters
    ----------
    pixels : ndarray of uint8
        Shape (height, width, 3).
    field : float
        Side of the picture as a share of the side of the survey's picture, in (0, 1].

    Returns
    -------
    bytes
        32 bytes for the central 240 of 424 pixels of the survey's picture, then 32 bytes for the
        whole picture. `NOTHING` (32 zero bytes) replaces the second hash if it is not computed, and
        any hash of a picture that is flat or shows too little.

    Examples
    --------
    >>> rows, columns = np.indices((424, 424))
    >>> light = 200 * np.exp(-((rows - 212) ** 2 + (columns - 190) ** 2) / 2000)
    >>> disk = np.repeat(light[..., None], 3, 2)
    >>> picture_hash(disk.astype(np.uint8))[32:] == NOTHING
    True
    """
    # the caller got `field` by dividing two crops: remove the rounding error, which would make the
    # comparison with 1 fail
    field = round(field, 9)
    cut_out = field == 1 and min(pixels.shape[:2]) <= CUT_OUT
    return _signs(pixels, MIDDLE / field) + (_signs(pixels, 1.0) if cut_out else NOTHING)
