"""Decide to which image of a FITS file each of its weight and mask images belongs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gzfeatures.images.decoding.filters import SCIENCE, WEIGHTS, filter_of

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


def kind_of_mask(label: str) -> str:
    """Return the words of a name that say what a weight or mask image contains, in lower case.

    Examples
    --------
    >>> kind_of_mask("MASK_G"), kind_of_mask("g-WHT")
    ('mask', 'wht')
    """
    return " ".join(word for word in words(label.lower()) if word in WEIGHTS)


def words(name: str, keep: bool = False) -> list[str]:
    """Split the name of a file or FITS unit into words; with `keep`, return separators too."""
    return re.split(r"([-_. ])" if keep else r"[-_. ]", name)


def _rest(label: str) -> str:
    """Return the words of a name that do not tell image, weight and mask apart, in lower case."""
    return " ".join(word for word in words(label.lower()) if word not in SCIENCE | WEIGHTS)
