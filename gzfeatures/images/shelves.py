"""Shelf: an archive seen galaxy by galaxy – which files show which one, and how they are read."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.images.archives import Archive
from gzfeatures.images.arrays import ArrayFile
from gzfeatures.images.contents import BANDS, PICTURE, Contents
from gzfeatures.images.folders import PICTURES
from gzfeatures.images.parcels import packed
from gzfeatures.images.pictures import MAX_PIXELS
from gzfeatures.images.views import View

Files: TypeAlias = tuple[str, ...]
"""Names, in an archive, of the files of one galaxy."""

BAND_FILE = re.compile(r"(?P<id>.+)[._-](?P<band>[ugrizy])")
"""Stem of a file that holds one band of a galaxy: PGC0000212_g.fits."""


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """A decoded picture that no view was applied to, for views that are made elsewhere.

    Parameters
    ----------
    pixels : ndarray of uint8
        Shape (height, width, 3).
    crops : tuple of float
        For each view the central share of the picture's shorter side that it keeps.
    """

    pixels: npt.NDArray[np.uint8]
    crops: tuple[float, ...]


Sight: TypeAlias = Frame | tuple[npt.NDArray[np.uint8], ...]
"""What a network may be given of an image: the whole picture, or its pixels under each view."""


@dataclasses.dataclass(frozen=True)
class Shelf:
    """An archive and what its images have in common.

    Parameters
    ----------
    archive : Archive
        Where the images lie.
    field : float
        Share of the survey frame's side that its images hold, in (0, 1].
    bands : tuple of str, optional
        Names of the bands in files that do not name them.
    max_pixels : int
        Largest image that is decoded, all bands together.
    """

    archive: Archive
    field: float = 1.0
    bands: tuple[str, ...] | None = None
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if not 0 < self.field <= 1:
            raise InputError("field of the images", rule="lie in (0, 1]", found=self.field)

    def galaxies(self) -> dict[str, Files]:
        """Files of each galaxy by id, sorted (rows of an array: in their order).

        Raises
        ------
        InputError
            Two files claim to be the same image of one galaxy.
        """
        if isinstance(self.archive, ArrayFile):
            return {name: (name,) for name in self.archive.names()}
        files: dict[str, Files] = {}
        for name in self.archive.names():
            galaxy, part = _galaxy_and_part(name)
            others = files.get(galaxy, ())
            for other in others:
                if _part(other) == part:
                    raise InputError(
                        "two files are images of one galaxy",
                        where=self.archive.path,
                        rule="have one image per id",
                        found=f"{other} and {name}",
                        remedy="rename or remove one of them",
                    )
            files[galaxy] = tuple(sorted((*others, name), key=_part)) if others else (name,)
        return {galaxy: files[galaxy] for galaxy in sorted(files)}

    def read(self, files: Files) -> bytes:
        """Bytes of a galaxy's only file, or an uncompressed zip of its several files."""
        if len(files) == 1:
            return self.archive.read(files[0])
        return packed({_part(name): self.archive.read(name) for name in files})

    def digest(self, data: bytes) -> str:
        """Sha256 of a galaxy's bytes, and of field and band names where they were given."""
        digest = fingerprint.of_bytes(data)
        if self.field == 1 and self.bands is None:
            return digest
        return fingerprint.of({"image": digest, "field": self.field, "bands": self.bands})

    def contents(self, files: Files, data: bytes) -> Contents:
        """What a galaxy's bytes hold."""
        part = _part(files[0])
        bands = self.bands if len(files) > 1 or part in (PICTURE, BANDS) else (part,)
        return Contents(data, self.where(files), self.max_pixels, bands)

    def see(self, files: Files, data: bytes, view: View) -> npt.NDArray[np.uint8]:
        """Pixels of a galaxy under a view of the whole survey frame.

        Raises
        ------
        InputError
            A view wants more sky than the images hold, or the image is broken.
        """
        return self.contents(files, data).see(self._within(files, [view])[0])

    def sight(self, files: Files, data: bytes, views: Sequence[View]) -> Sight:
        """Picture of a galaxy, for views of the survey frame, or bands under them; decoded once, raises as `see`."""
        contents, within = self.contents(files, data), self._within(files, views)
        pixels = None if any(view.bands or view.stretch for view in views) else contents.picture
        if pixels is None:
            return tuple(contents.see(view) for view in within)
        return Frame(pixels, tuple(view.crop for view in within))

    def _within(self, files: Files, views: Sequence[View]) -> list[View]:
        """Views of the survey frame as views of what the images hold of it."""
        for view in views:
            if view.crop > self.field:
                raise InputError(
                    "view is wider than the images",
                    where=self.where(files),
                    rule=f"crop at most {self.field} of the frame's side",
                    found=view.crop,
                )
        return [dataclasses.replace(view, crop=view.crop / self.field) for view in views]

    def states(self, files: Files) -> list[Sequence[int | None] | None]:
        """Size and time of change of each file; None for one that is gone."""
        return [self.archive.state(name) for name in files]

    def where(self, files: Files) -> str:
        """Archive and name of a galaxy's first file, for errors."""
        return f"{self.archive.path}/{files[0]}"


def _galaxy_and_part(name: str) -> tuple[str, str]:
    """Id of the galaxy a file shows, and which part of it the file is: its picture, its bands, or one band."""
    stem, suffix = posixpath.splitext(posixpath.basename(name))
    if suffix.lower() in PICTURES:
        return stem, PICTURE
    if suffix.lower() == ".gz":
        stem = posixpath.splitext(stem)[0]
    match = BAND_FILE.fullmatch(stem)
    return (stem, BANDS) if match is None else (match["id"], match["band"])


def _part(name: str) -> str:
    return _galaxy_and_part(name)[1]
