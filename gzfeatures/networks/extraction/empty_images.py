"""Record which images of an extraction show no galaxy, before a network gets them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gzfeatures.images.emptiness import flat_colour
from gzfeatures.images.galaxy_files import NetworkInput, WholePicture

MOST_LINES = 10
"""Most empty images that are printed one by one; a damaged survey may have thousands."""


class EmptyImages:
    """Record the digests of images that show no galaxy, and which of these have equal pixels.

    Attributes
    ----------
    reasons : dict of str to str
        Digest → why the image shows no galaxy.
    judged : set of str
        Digests of all images whose pixels were judged.
    copies : dict of str to str
        Digest of a flat image → that of another one of the same colour, whose vector it has too.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.reasons: dict[str, str] = {}
        self.judged: set[str] = set()
        self.copies: dict[str, str] = {}
        self._say, self._said = say, 0
        self._first: dict[tuple[tuple[int, ...] | None, ...], str] = {}

    def name(self, galaxy: str, digest: str) -> None:
        """Print a warning that an image shows no galaxy, for the first such images only."""
        if digest in self.reasons:
            self._said += 1
            if self._said <= MOST_LINES:
                self._say(f"warning: {galaxy} shows no galaxy: {self.reasons[digest]}")

    def is_copy(self, digest: str, pixels: NetworkInput) -> bool:
        """Return whether an image has one flat colour, as an earlier image had; record the pair.

        A network sees the same pixels of two flat images of one colour, whatever their size.
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
        """Return id and reason of each image that shows no galaxy, in the order of the ids."""
        pairs = zip(ids, digests, strict=True)
        return tuple((str(name), self.reasons[key]) for name, key in pairs if key in self.reasons)
