"""Decide to which image of a FITS file each of its weight and mask images belongs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gzfeatures.images.decoding.filters import SCIENCE, WEIGHTS, filter_of, words_of

Stated: TypeAlias = tuple[str, Mapping[str, Any]]
"""Name of a FITS unit (EXTNAME), and its header."""


def owner(mask: Stated, images: Sequence[Stated]) -> int | None:
    """Return the number of the image to which a mask belongs, as their headers say; None if unsaid.

    The first of three rules that fits exactly one image counts: both have the same EXTNAME without
    words such as SCI, MASK or WHT; both name the same filter; or both have the same EXTVER, which
    differs between the images.

    Parameters
    ----------
    mask : (str, mapping)
        Name and header of a weight or mask image.
    images : sequence of (str, mapping)
        Names and headers of all other images of the file.

    Examples
    --------
    >>> images = [("SCI_G", {}), ("SCI_R", {})]
    >>> owner(("MASK_G", {}), images), owner(("MASK", {}), images)
    (0, None)
    """
    label, header = mask
    own, band = _rest(label), filter_of(header)
    by_name = [own != "" and _rest(name) == own for name, _ in images]
    by_filter = [band != "" and filter_of(cards) == band for _, cards in images]
    for fits in (by_name, by_filter):
        if sum(fits) == 1:
            return fits.index(True)
    versions = [cards.get("EXTVER", 1) for _, cards in images]
    version = header.get("EXTVER", 1)
    if len(set(versions)) == len(versions) > 1 and version in versions:
        return versions.index(version)
    return None


def unclear(marked: Sequence[int], guessed: Sequence[int], n: int) -> bool:
    """Return whether masks of one kind, given to images by their order in the file, are ambiguous.

    Such a mask may be of several images if no other mask of its kind stands between them, if it
    stands before all images, or if two masks are of one image and another image has none.

    Parameters
    ----------
    marked : sequence of int
        The image of each mask of this kind.
    guessed : sequence of int
        The image before each mask that no header gives to an image; −1 if no image is before it.
    n : int
        Number of images.

    Examples
    --------
    >>> unclear([0, 1], [0, 1], 2), unclear([1], [1], 2)
    (False, True)
    """
    if n < 2 or not guessed:
        return False
    shared = any(row < 0 or (row > 0 and row - 1 not in marked) for row in guessed)
    return shared or len(set(marked)) < min(len(marked), n)


def kind_of_mask(label: str) -> str:
    """Return the words of a name that say what a weight or mask image contains, in lower case.

    Examples
    --------
    >>> kind_of_mask("MASK_G"), kind_of_mask("g-WHT")
    ('mask', 'wht')
    """
    return " ".join(word for word in words_of(label.lower()) if word in WEIGHTS)


def _rest(label: str) -> str:
    """Return the words of a name that do not tell image, weight and mask apart, in lower case."""
    return " ".join(word for word in words_of(label.lower()) if word not in SCIENCE | WEIGHTS)
