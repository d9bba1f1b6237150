"""Store the result of checking images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from gzfeatures._moved import renamed
from gzfeatures.ids import Ids
from gzfeatures.images.decoding.grey_levels import FEWEST


@dataclasses.dataclass(frozen=True)
class ImageCheck:
    """List the missing and broken images, and those with few grey levels, that a check found.

    Parameters
    ----------
    readable : int
        Number of galaxies that have an image, whether it can be used or is broken.
    missing : tuple of str
        Wanted ids without an image.
    broken : tuple of (str, str)
        Id and reason of each image that cannot be used, in the order of the images.
    shallow : tuple of (str, int)
        Id and number of grey levels of each usable picture with fewer than 32 grey levels.
    """

    readable: int
    missing: tuple[str, ...]
    broken: tuple[tuple[str, str], ...]
    shallow: tuple[tuple[str, int], ...] = ()

    found = renamed("found", "readable")

    @classmethod
    def of(
        cls,
        ids: Ids,
        missing: tuple[str, ...],
        faults: Sequence[tuple[str | None, int | None]],
    ) -> ImageCheck:
        """Sort images into broken ones, ones with few grey levels, and good ones, by their faults.

        Parameters
        ----------
        ids : Ids
            Galaxies that have an image, shape (n,).
        missing : tuple of str
            Wanted ids without an image.
        faults : sequence of (str or None, int or None)
            For each image, why it cannot be used, and its number of grey levels, as
            `GalaxyImage.fault` returns them.
        """
        names = list(map(str, ids))
        broken = tuple((name, why) for name, (why, _) in zip(names, faults, strict=True) if why)
        few = (
            (name, levels)
            for name, (why, levels) in zip(names, faults, strict=True)
            if not why and levels
        )
        shallow = tuple((name, levels) for name, levels in few if levels < FEWEST)
        return cls(len(names), missing, broken, shallow)

    def asdict(self) -> dict[str, Any]:
        """Return the result as JSON values; omit `shallow` if no image has few grey levels."""
        broken = [{"id": name, "reason": why} for name, why in self.broken]
        shallow = [{"id": name, "levels": levels} for name, levels in self.shallow]
        result: dict[str, Any] = {
            "found": self.readable,
            "missing": list(self.missing),
            "broken": broken,
        }
        return {**result, "shallow": shallow} if shallow else result
