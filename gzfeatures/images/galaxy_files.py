"""Find the image files of each galaxy in a folder or archive, and read these files."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.errors import GzError, InputError
from gzfeatures.images.decode import BANDS, PICTURE, Decoder
from gzfeatures.images.decoding.bundle import bundle
from gzfeatures.images.decoding.decode_rgb import MAX_PIXELS
from gzfeatures.images.decoding.filters import images_among, split
from gzfeatures.images.decoding.fits_planes import planes
from gzfeatures.images.emptiness import of_picture
from gzfeatures.images.framing import FILE_DIGITS, cut_to_frame
from gzfeatures.images.reader_version import version
from gzfeatures.images.reading import READING, Reading
from gzfeatures.images.sources.archive import Archive
from gzfeatures.images.sources.arrays import ArrayFile
from gzfeatures.images.view import View
from gzfeatures.outputs import PICTURES

Files: TypeAlias = tuple[str, ...]
"""Names, in an archive, of the files of one galaxy."""

FITS_ENDINGS = (".fits", ".fit", ".fts", ".fits.fz", ".fit.fz")
MOST_BANDS = 12
"""Most files whose headers are read to find out whether they are bands of one galaxy."""


@dataclasses.dataclass(frozen=True, eq=False)
class WholePicture:
    """Store an uncropped picture, and how much of it each view (crop, size) cuts out at the centre.

    Parameters
    ----------
    pixels : ndarray of uint8
        Shape (height, width, 3).
    crops : tuple of float
        For each view (crop, size, colours), the central share of the picture's shorter side to cut
        out.
    """

    pixels: npt.NDArray[np.uint8]
    crops: tuple[float, ...]


NetworkInput: TypeAlias = WholePicture | tuple[npt.NDArray[np.uint8], ...]
"""Pixels for a network: the whole picture, or the pixels under each view."""


@dataclasses.dataclass(frozen=True)
class GalaxyFiles:
    """Find and read the image files of each galaxy in an archive, with given reading options.

    Parameters
    ----------
    archive : Archive
        Folder or archive with the images.
    reading : Reading
        Options for reading the files, such as names of bands.
    max_pixels : int
        Largest image that is decoded, all bands together.
    """

    archive: Archive
    reading: Reading = READING
    max_pixels: int = MAX_PIXELS

    def galaxies(self) -> dict[str, Files]:
        """Return the image files of each galaxy, sorted by id; array files keep their order.

        Raises
        ------
        InputError
            Two files are the same picture or band of one galaxy by their names, or a galaxy has a
            picture and bands, and the user prefers neither.
        """
        if isinstance(self.archive, ArrayFile):
            return {name: (name,) for name in self.archive.names()}
        files: dict[str, dict[str, str]] = {}
        parts = galaxies_and_parts(self.archive.names(), self.reading.bands or ())
        # check first for files of bands with unknown filter names: otherwise each file would
        # count as a separate galaxy
        self._require_no_bands([name for name, (_, part) in parts.items() if part == BANDS])
        for name, (galaxy, part) in parts.items():
            of_galaxy = files.setdefault(galaxy, {})
            if part in of_galaxy:
                raise InputError(
                    "two files are images of one galaxy",
                    where=self.archive.path,
                    rule="have one image per id",
                    found=f"{of_galaxy[part]} and {name}",
                    remedy="rename or remove one of them",
                )
            of_galaxy[part] = name
        return {galaxy: self._preferred(files[galaxy]) for galaxy in sorted(files)}

    def _require_no_bands(self, names: Sequence[str]) -> None:
        """Refuse files whose FITS headers show that they are images of one galaxy in several bands.

        Only the first group of files whose names differ in the last word is read. The files are
        bands if each header names a different filter, and all have the same position. Names that
        end in a number are skipped, because such numbers count galaxies.
        """
        alike: dict[str, list[str]] = {}
        for name in names:
            # a word at the end of a file name may name a filter, but a number counts galaxies
            # (`cutout_1`), so leave out names with a number
            stem, _, word = _stem(name).replace("-", "_").replace(".", "_").rpartition("_")
            if stem and not word.isdigit() and name.lower().endswith(FITS_ENDINGS):
                alike.setdefault(stem, []).append(name)
        first = next((sorted(each) for each in alike.values() if 1 < len(each) <= MOST_BANDS), [])
        headers = [self._filter_and_position(name) for name in first]
        filters = [each[0] for each in headers if each is not None]
        places = {each[1] for each in headers if each is not None}
        # if all filters differ and all positions agree, the files are bands of one galaxy
        if first and len(set(filters)) == len(first) and len(places) == 1:
            words = [
                _stem(name).replace("-", "_").replace(".", "_").rpartition("_")[2] for name in first
            ]
            raise InputError(
                "files look like bands of one galaxy",
                where=self.archive.path,
                rule="be named by known filters, or have their bands named",
                found=", ".join(
                    f"{name} ({band})" for name, band in zip(first, filters, strict=True)
                ),
                remedy=f"give --bands {','.join(words)}",
            )

    def _filter_and_position(self, name: str) -> tuple[str, tuple[float, float]] | None:
        """Return the filter and sky position in a file's header; None if either is missing.

        The position is rounded to a thousandth of a degree.
        """
        try:
            image_planes = planes(
                self.archive.read(name),
                where=name,
                max_pixels=self.max_pixels,
                science=self.reading.science,
            )
            band, header = image_planes[0].names, image_planes[0].header
            if (
                len(image_planes) == 1
                and band is not None
                and len(band) == 1
                and "CRVAL1" in header
            ):
                return band[0], (
                    round(float(header["CRVAL1"]), 3),
                    round(float(header["CRVAL2"]), 3),
                )
        except (GzError, KeyError, TypeError, ValueError):
            pass  # damage in the file is reported when the image is read
        return None

    def _preferred(self, parts: dict[str, str]) -> Files:
        """Return a galaxy's files: if it has a picture and bands, only those the user prefers."""
        chosen = parts
        if PICTURE in parts and len(parts) > 1:
            rest = {part: name for part, name in parts.items() if part != PICTURE}
            if self.reading.prefer is None:
                raise InputError(
                    "a picture and bands are images of one galaxy",
                    where=self.archive.path,
                    rule="have one image per id",
                    found=f"{parts[PICTURE]} and {', '.join(rest[part] for part in sorted(rest))}",
                    remedy="choose with --prefer picture or --prefer bands",
                )
            chosen = {PICTURE: parts[PICTURE]} if self.reading.prefer == "picture" else rest
        return tuple(chosen[part] for part in sorted(chosen))

    def read(self, files: Files) -> bytes:
        """Return the bytes of a galaxy's only file, or an uncompressed zip of its files."""
        if len(files) == 1:
            return self.archive.read(files[0])
        named = self.reading.bands or ()
        return bundle(
            {part_of(name, named, alone=False): self.archive.read(name) for name in files}
        )

    def digest(self, data: bytes, frame: float | None = None) -> str:
        """Return a SHA-256 of a galaxy's image bytes and of the options that change its pixels.

        Options at their defaults are left out, so that the digest of a plain picture is that of its
        file. `frame` is the side of the field that Galaxy Zoo 2 showed, in pixels of the image;
        None if the image shows exactly this field. With a frame, the first half of the digest is
        that of the SHA-256 of the file, so that galaxies with equal files can be recognised.
        """
        digest, key = fingerprint.of_bytes(data), self.reading.key
        reader = version(data, max_pixels=self.max_pixels, reading=self.reading)
        if reader is not None:
            key["reader"] = reader
        if frame is not None:
            # include the side length of Galaxy Zoo 2's field in the digest: it depends on the
            # galaxy's radius and sets the crop, and so changes the pixels
            key["frame_pixels"] = frame
            whole = fingerprint.of({"image": digest, **key})
            return digest[:FILE_DIGITS] + whole[FILE_DIGITS:]
        # for plain pictures use the SHA-256 of the file's bytes, so that other programs can compute
        # it too
        if key == {"field": 1, "bands": None}:
            return digest
        return fingerprint.of({"image": digest, **key})

    def decoder(self, files: Files, data: bytes) -> Decoder:
        """Return an object that decodes a galaxy's image from `data`, the bytes from `read`.

        The archive and the names of the galaxy's files tell whether the bytes are a picture, one
        band or several.
        """
        part = (
            BANDS
            if isinstance(self.archive, ArrayFile)
            else part_of(files[0], self.reading.bands or ())
        )
        if len(files) > 1 or part in (PICTURE, BANDS):
            return Decoder(data, self.where(files), self.max_pixels, self.reading)
        of_band = dataclasses.replace(self.reading, bands=(part,))
        return Decoder(data, self.where(files), self.max_pixels, of_band)

    def see(
        self, files: Files, decoder: Decoder, view: View, frame: float | None = None
    ) -> npt.NDArray[np.uint8]:
        """Return an image's pixels, cropped and resized as `view` says.

        The view's crop is a share of the side of the survey's picture. For an image of another size
        on the sky, `Reading.field` or `frame` (the side of Galaxy Zoo 2's picture, in pixels of the
        image) determines the crop.

        Raises
        ------
        InputError
            The view shows more sky than the image, or the image is broken.
        """
        return decoder.see(self._within(files, [view])[0], frame)

    def see_picture(
        self, files: Files, pixels: npt.NDArray[np.uint8], view: View, frame: float | None = None
    ) -> npt.NDArray[np.uint8]:
        """Return pixels of a decoded picture, cropped and resized for a view as `see` does."""
        within = self._within(files, [view])[0]
        size = (pixels.shape[0], pixels.shape[1])
        return cut_to_frame(within, frame, size, self.where(files)).apply(pixels)

    def network_input(
        self,
        files: Files,
        decoder: Decoder,
        views: Sequence[View],
        noted: Callable[[str], None] | None = None,
        frame: float | None = None,
    ) -> NetworkInput:
        """Return what networks read: a whole picture, or bands cropped and resized for each view.

        A picture whose views name a stretch or bands is also cropped and resized for each view. The
        bytes are decoded once; errors are those of `see`. If the image shows no galaxy, `noted` is
        called with the reason. `frame` is the side of the field that Galaxy Zoo 2 showed, in pixels
        of the image; None if the image shows exactly this field.
        """
        within = self._within(files, views)
        # all crops can be cut from one decoded picture, but bands are stretched anew for each view
        # (crop, size, stretch)
        pixels = None if any(view.bands or view.stretch for view in views) else decoder.picture
        if pixels is not None:
            return self.whole_picture(files, pixels, views, noted, frame)
        pictures = tuple(decoder.see(view, frame) for view in within)
        reason = None if noted is None else decoder.nothing_shown(within, pictures)
        if noted is not None and reason is not None:
            noted(reason)
        return pictures

    def whole_picture(
        self,
        files: Files,
        pixels: npt.NDArray[np.uint8],
        views: Sequence[View],
        noted: Callable[[str], None] | None = None,
        frame: float | None = None,
    ) -> WholePicture:
        """Return a decoded picture, uncropped, with the crop that each view cuts out later."""
        size = (pixels.shape[0], pixels.shape[1])
        within = [
            cut_to_frame(view, frame, size, self.where(files))
            for view in self._within(files, views)
        ]
        reason = None if noted is None else of_picture(pixels)
        if noted is not None and reason is not None:
            noted(reason)
        return WholePicture(pixels, tuple(view.crop for view in within))

    def _within(self, files: Files, views: Sequence[View]) -> list[View]:
        """Return views with crops as shares of the image's side, not of the survey's picture."""
        for view in views:
            if view.crop > self.reading.field:
                raise InputError(
                    "view is wider than the images",
                    where=self.where(files),
                    rule=f"crop at most {self.reading.field} of the frame's side",
                    found=view.crop,
                )
        if self.reading.field == 1:
            return list(views)
        return [dataclasses.replace(view, crop=view.crop / self.reading.field) for view in views]

    def states(self, files: Files) -> list[Sequence[int | str | None] | None]:
        """Return size and modification time of each image file; None for a missing file."""
        return [self.archive.file_state(name) for name in files]

    def position(self, files: Files) -> int:
        """Return a galaxy's place in the archive (first file); reading in this order is fast."""
        return self.archive.position(files[0])

    def where(self, files: Files) -> str:
        """Return the archive and name of a galaxy's first file, for error messages."""
        return f"{self.archive.path}/{files[0]}"


def galaxies_and_parts(
    names: Iterable[str], named: Collection[str] = ()
) -> dict[str, tuple[str, str]]:
    """Return for each image file its galaxy, and its content: a picture, one band or several bands.

    Files of an image's weights, errors or masks are left out.

    Parameters
    ----------
    names : iterable of str
        Names of the image files.
    named : collection of str
        Names of bands besides those of known filters.

    Returns
    -------
    dict of str to (str, str)
        File → galaxy id, and `PICTURE`, `BANDS` (a file of several bands), or the name of one band.
        A band inside a name, or a band of one capital letter, counts only if the same galaxy has a
        second band.
    """
    result: dict[str, tuple[str, str]] = {}
    bands: dict[str, set[str]] = {}
    doubtful = []
    for name in images_among(names):
        stem, part = _stem(name), part_of(name, named)
        split_name = None if part == PICTURE else split(stem, named)
        if split_name is None:
            result[name] = stem, part
            continue
        bands.setdefault(split_name[0], set()).add(split_name[1])
        result[name] = split_name[:2]
        if not split_name[2]:
            # a capital letter, or a word inside a name, is taken for a band only if the galaxy has
            # a second band; else it is part of the id
            doubtful.append(name)
    for name in doubtful:
        if len(bands[result[name][0]]) < 2:
            result[name] = _stem(name), BANDS
    return result


def part_of(name: str, named: Collection[str] = (), *, alone: bool = True) -> str:
    """Return what an image file contains, judged by its name: a picture, one band or several bands.

    With `alone`, no other file of the galaxy is known, so that only a certain band counts.
    """
    if posixpath.splitext(name)[1].lower() in PICTURES:
        return PICTURE
    split_name = split(_stem(name), named)
    return BANDS if split_name is None or (alone and not split_name[2]) else split_name[1]


def _stem(name: str) -> str:
    """Return a file's name without its endings, such as .fits.gz."""
    stem, suffix = posixpath.splitext(posixpath.basename(name))
    return posixpath.splitext(stem)[0] if suffix.lower() in (".gz", ".fz") else stem
