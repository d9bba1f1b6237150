"""Define the options for reading image files: facts that the files do not state themselves."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from gzfeatures.errors import InputError
from gzfeatures.images.decoding.grey_levels import Levels


@dataclasses.dataclass(frozen=True)
class Reading:
    """Store options for reading image files, such as values of black and white, or band names.

    Every option that changes pixels also changes an image's digest.

    Parameters
    ----------
    range : two floats, optional
        Value that becomes black and value that becomes white, the same for all images (pictures of
        any type, and bands).
    stretch : str, optional
        Name of a stretch in `stretches.STRETCHES` that turns values into 0…255, for images that are
        not 8-bit and views that name no stretch. Black and white are computed for each image.
    bands : tuple of str, optional
        Names of bands: for files of several bands without names, in the file's order; and for file
        names that end in a band (`galaxy_NAME.fits`) that is no known filter.
    science : str, optional
        Name (EXTNAME; `NAME,VERSION`) or number of the FITS unit with the galaxy's image, or name
        of the HDF5 array with the images.
    prefer : {"picture", "bands"}, optional
        Which files are read for a galaxy that has both: a picture (JPEG or PNG), and bands (FITS or
        arrays).
    ids_from : str, optional
        Name of the HDF5 array with the ids.
    field : float
        Side of the images as a share of the side of the survey's pictures, in (0, 1], so that a
        view cuts out the same sky from both.

    Raises
    ------
    InputError
        A value breaks its rule, or range and stretch are both given.

    Examples
    --------
    >>> Reading(range=(0, 4095)), Reading(bands=("g", "r", "z"), prefer="bands")  # doctest: +SKIP
    """

    range: tuple[float, float] | None = None
    stretch: str | None = None
    bands: tuple[str, ...] | None = None
    science: str | None = None
    prefer: Literal["picture", "bands"] | None = None
    ids_from: str | None = None
    field: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "range", self.levels.range)
        if self.bands is not None:
            object.__setattr__(self, "bands", tuple(self.bands))
            if not self.bands or not all(self.bands) or len(set(self.bands)) != len(self.bands):
                raise InputError("names of the bands", rule="name each band once", found=self.bands)
        if self.prefer not in (None, "picture", "bands"):
            raise InputError("prefer", rule="be picture or bands", found=self.prefer)
        if not 0 < self.field <= 1:
            raise InputError("field of the images", rule="lie in (0, 1]", found=self.field)

    @property
    def levels(self) -> Levels:
        """Return the converter of pixel values to grey levels (black and white, or a stretch)."""
        return Levels(self.range, self.stretch)

    def asdict(self) -> dict[str, Any]:
        """Return the options for reading image files as JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @property
    def key(self) -> dict[str, Any]:
        """Return the reading options that change pixels, by name, except those that are not set.

        Field and bands are always included.
        """
        values = {"range": self.range, "stretch": self.stretch, "science": self.science}
        return {
            "field": self.field,
            "bands": self.bands,
            **{name: value for name, value in values.items() if value is not None},
        }


READING = Reading()
"""Default options, for files that need no further information."""
