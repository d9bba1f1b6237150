"""Find image pixels without a measurement: areas filled with zeros, and pixels marked by masks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.images.decoding.filters import words_of

Mask = npt.NDArray[np.bool_]

BLOCK, RUN = 5, 16
"""Side of a square and length of a straight run of zeros that do not arise by chance.

RICE compression turns 2 … 10 % of the pixels into zeros; one in 10²⁵ squares would then be zero."""

MANY, CHANCE = 0.2, 1e-3
"""Share of zeros above which an image's sky naturally has zeros, and the accepted error rate.

Images of few photons have natural zeros. The error rate is the chance, per image, that such zeros
are taken for an unobserved area."""

WEIGHTS = frozenset({"invvar", "ivar", "ivm", "wht", "weight", "weights", "wgt"})
MASKS = frozenset({"mask", "dq", "flag", "flags", "bpm", "badpix", "badpixel", "maskbits"})
"""Words in names of FITS units (HDUs) that contain weights, and masks."""

HSC = ("BAD", "NO_DATA", "UNMASKEDNAN")
"""Names of the bits of an HSC or LSST mask that mark pixels without a measurement."""


def unobserved(plane: npt.NDArray[Any], tolerance: npt.NDArray[np.float64] | float = 0.0) -> Mask:
    """Find the areas of an image that are filled with zeros because nothing was observed there.

    Parameters
    ----------
    plane : ndarray of floats or integers
        Shape (height, width). NaN is no zero.
    tolerance : float or ndarray of float64
        Largest value of a pixel that counts as zero: lossy compression may have changed a zero by
        half a quantisation step.

    Returns
    -------
    ndarray of bool
        True in areas of zeros (connected by edges) that contain a square of `BLOCK` × `BLOCK` zeros
        or a straight run of `RUN` zeros, or fill the image; zeros scattered over the sky are
        measurements. If more than a fifth of the pixels are zero, a larger square or a longer run
        is required, which scattered zeros do not form by chance.
    """
    # compare integers with 0 directly, because np.abs of the most negative integer is negative
    zero: Mask = np.abs(plane) <= tolerance if plane.dtype.kind == "f" else plane == 0
    if not zero.any() or zero.all():
        return zero
    from scipy import ndimage

    height, width = plane.shape
    # look for solid blocks or runs of zeros: an unobserved area contains them, while zeros of a
    # noisy sky are scattered
    square, run = _unlikely(zero)
    shapes = {(square, square), (1, min(run, width)), (min(run, height), 1)}
    if run > RUN:
        # an image with many zeros may have whole rows of zeros by chance: if it is narrower than
        # the required run, no row proves an unobserved area
        shapes = {(square, square), (1, run), (run, 1)}
    solid, opened = np.zeros_like(zero), np.zeros_like(zero)
    for shape in shapes:
        ones = np.ones(shape, dtype=bool)
        solid |= ndimage.binary_erosion(zero, ones)
        opened |= ndimage.binary_opening(zero, ones)
    if not solid.any():
        return solid
    if (zero & ~opened).sum() > MANY * (~opened).sum():
        # in images with few photons, zeros are connected all over the sky; so if many zeros lie
        # outside the solid squares and lines of zeros, return only those squares and lines
        return opened
    areas, _ = ndimage.label(zero)
    filled: Mask = np.isin(areas, np.unique(areas[solid]))
    return filled


def _unlikely(zero: Mask) -> tuple[int, int]:
    """Return the smallest square, and shortest run, of zeros that hardly arises by chance."""
    share = float(zero.mean())
    if share <= MANY:
        return BLOCK, RUN
    # m zeros in a given pattern arise by chance about size × share^m times in an image; solve for m
    pixels = math.log(CHANCE / zero.size) / math.log(share)
    return max(BLOCK, math.ceil(math.sqrt(pixels))), max(RUN, math.ceil(pixels))


def is_mask(kind: str) -> bool:
    """Return whether an image of this EXTNAME or IMAGETYP is a weight or mask, not an error.

    Examples
    --------
    >>> is_mask("WHT"), is_mask("DQ_G"), is_mask("ERR")
    (True, True, False)
    """
    return not set(words_of(kind.lower())).isdisjoint(WEIGHTS | MASKS)


def masked(kind: str, plane: npt.NDArray[Any], cards: Mapping[str, Any]) -> Mask | None:
    """Find the pixels that a weight or mask image marks as bad; None for other images.

    Parameters
    ----------
    kind : str
        EXTNAME or IMAGETYP of the image: a weight (`WHT`, `invvar` …), or a mask (`MASK`, `DQ` …).
    plane : ndarray
        Shape (…, height, width).
    cards : mapping
        Header of the image. HSC masks give the meaning of each bit in cards MP_…; in JWST's DQ
        masks only the first bit means "do not use".

    Notes
    -----
    A pixel has no measurement if its weight is not positive, or its mask flag is not 0.
    """
    word = set(words_of(kind.lower()))
    if word & WEIGHTS:
        return np.asarray(~(plane > 0))
    if not word & MASKS:
        return None
    flags = np.nan_to_num(plane).astype(np.int64)
    bits = [int(cards[f"MP_{name}"]) for name in HSC if f"MP_{name}" in cards]
    if any(str(key).startswith("MP_") for key in cards):
        # in HSC masks use only these bits, because the other bits mark sources and edges, whose
        # pixels are good
        flags &= sum(1 << bit for bit in bits)
    elif "dq" in word and str(cards.get("TELESCOP", "")).strip().upper() == "JWST":
        flags &= 1
    return np.asarray(flags != 0)
