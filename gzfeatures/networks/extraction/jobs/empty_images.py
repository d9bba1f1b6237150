"""Collect the images that show no galaxy (blank, one colour, bad pixels), to warn of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gzfeatures.images.emptiness import flat_colour
from gzfeatures.images.galaxy_files import NetworkInput, WholePicture

MOST_LINES = 10
"""Largest number of empty images named in warnings; a damaged survey may have thousands."""


class EmptyImages:
    """Collect images that show no galaxy, and pairs of images that have the same flat colour.

    Attributes
    ----------
    reasons : dict of str to str
        Digest (sha256 of an image file) → why the image shows no galaxy.
    judged : set of str
        Digests of all images that were tested for emptiness.
    copies : dict of str to str
        Digest of an image of one colour → digest of an earlier image of this colour, which has the
        same embedding.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.reasons: dict[str, str] = {}
        self.judged: set[str] = set()
        self.copies: dict[str, str] = {}
        self._say, self._said = say, 0
        self._first: dict[tuple[tuple[int, ...] | None, ...], str] = {}

    def name(self, galaxy: str, digest: str) -> None:
        """Print a warning if an image shows no galaxy, up to `MOST_LINES` times per run."""
        if digest in self.reasons:
            self._said += 1
            if self._said <= MOST_LINES:
                self._say(f"warning: {galaxy} shows no galaxy: {self.reasons[digest]}")

    def is_copy(self, digest: str, pixels: NetworkInput) -> bool:
        """Return whether an image of one flat colour repeats an earlier one; record the pair.

        After resizing, two images of one flat colour are equal, so one embedding serves both.
        """
        if digest not in self.reasons:
            return False
        arrays = [pixels.pixels] if isinstance(pixels, WholePicture) else pixels
        colours = tuple(flat_colour(array) for array in arrays)
        if None in colours:
            return False
        first = self._first.setdefault(colours, digest)
        if first != digest:
            self.copies[digest] = first
        return first != digest

    def listed(
        self, ids: npt.NDArray[np.object_], digests: npt.NDArray[np.object_]
    ) -> tuple[tuple[str, str], ...]:
        """Return (id, reason) of each image that shows no galaxy, in the order of the given ids."""
        pairs = zip(ids, digests, strict=True)
        return tuple((str(name), self.reasons[key]) for name, key in pairs if key in self.reasons)
