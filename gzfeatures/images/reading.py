"""Define the options for reading image files: facts that the files do not state themselves."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from gzfeatures.errors import InputError
from gzfeatures.images.decoding.grey_levels import Levels


@dataclasses.dataclass(frozen=True)
class Reading:
    """Store options for reading image files: range or stretch, band names, ids, sky field.

    Every option that changes pixels also changes an image's digest.

    Parameters
    ----------
    range : two floats, optional
        Values that become black and white, for all images alike: pictures of any type, and bands.
    stretch : str, optional
        Entry of `stretches.STRETCHES` that turns values into 0…255, for images that are not 8-bit,
        and for views that do not name one. It looks at each image by itself.
    bands : tuple of str, optional
        Names of bands: of the planes, in the file's order, where the files do not name them; and of
        files that end in them (`galaxy_NAME.fits`) where the name is none of a known filter.
    science : str, optional
        Name (EXTNAME; `NAME,VERSION`) or number of the FITS unit that is the image, or name of an
        HDF5 file's array.
    prefer : {"picture", "bands"}, optional
        What shows a galaxy that has both, a JPEG or PNG and FITS or arrays.
    ids_from : str, optional
        Array of an HDF5 file that holds the ids.
    field : float
        Share of the survey frame's side that the images hold, in (0, 1]: a view cuts the same sky
        from both.

    Raises
    ------
    InputError
        A value breaks its rule; range and stretch are both given.

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
        """Return the converter of pixel values to grey levels: by a range or a stretch."""
        return Levels(self.range, self.stretch)

    def asdict(self) -> dict[str, Any]:
        """Return the options for reading image files as JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @property
    def key(self) -> dict[str, Any]:
        """Return those options that change pixels and are not at their default.

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
