"""List images of galaxies by id; read their files, digests (sha256) and pixels; check them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from gzfeatures import brief, fingerprint
from gzfeatures.errors import InputError, MissingFileError
from gzfeatures.ids import Ids, positions, require_unique
from gzfeatures.images.decode import reason
from gzfeatures.images.decoding.decode_rgb import MAX_PIXELS
from gzfeatures.images.framing import Framing
from gzfeatures.images.galaxy_files import Files, GalaxyFiles, NetworkInput
from gzfeatures.images.galaxy_image import GalaxyImage
from gzfeatures.images.image_check import ImageCheck
from gzfeatures.images.picture_cache import PictureCache, State
from gzfeatures.images.reading import Reading
from gzfeatures.images.sources.archive import archive
from gzfeatures.images.view import View
from gzfeatures.progress import SILENT, Progress, each, handed

Result = TypeVar("Result")
SHOWN, THUMBNAIL = 8, 64
"""Number of images in a notebook, and their side in pixels."""


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """List the images of galaxies by id, and read their files, digests (sha256) and pixels.

    It can be pickled, and is safe to use from threads, forks and spawned workers.

    Parameters
    ----------
    ids : Ids
        Shape (n,), unique.
    galaxy_files : tuple of GalaxyFiles
        Archives or folders with the images.
    places : tuple of (int, Files)
        For each id the index of its archive in `galaxy_files`, and the names of its files in this
        archive.
    missing : tuple of str
        Wanted ids without an image.
    kind : str
        Kind of the catalog that the ids come from (see `kinds.KINDS`); empty if unknown.
    framing : Framing, optional
        Pixel scale and Petrosian radius of each galaxy, which set the size of crops; None if every
        image shows exactly the field that Galaxy Zoo 2 showed.
    cache : PictureCache, optional
        Cache of digests (sha256) and pixels, so that no file is read or decoded twice; None for no
        cache.
    """

    ids: Ids
    galaxy_files: tuple[GalaxyFiles, ...]
    places: tuple[tuple[int, Files], ...]
    missing: tuple[str, ...] = ()
    kind: str = ""
    framing: Framing | None = None
    cache: PictureCache | None = None

    def __post_init__(self) -> None:
        require_unique(self.ids, where="images")
        if len(self.ids) != len(self.places):
            raise InputError(
                "images",
                rule="have one place per id",
                found=f"{len(self.places)} for {len(self)} ids",
            )

    @classmethod
    def of(
        cls,
        source: str | Path,
        ids: Ids | None = None,
        on_missing: Literal["raise", "skip"] = "raise",
        *,
        field: float | None = None,
        bands: tuple[str, ...] | None = None,
        max_pixels: int = MAX_PIXELS,
        reading: Reading | None = None,
    ) -> ImageSet:
        """List the images in a folder or archive by galaxy id; no file is copied.

        A galaxy's id is the file name without its ending, in any subfolder. FITS and .npy files
        whose names end in a known filter (`PGC0000212_g.fits`, `PGC0000212_r.fits`, `_HSC-G`,
        `_F115W`, `_NIR_Y`) are bands of one galaxy; _, - or . stands before the filter. In an HDF5
        file or .npy stack the id is the row number, or the entry in an array `galaxy_id`,
        `object_id` or similar.

        Parameters
        ----------
        source : str or Path
            Folder, .zip, .tar, .tar.gz, .h5, .npy stack, or one image file; or the web address of a
            folder or zip that fsspec can read (`https://…`, `s3://…`).
        ids : Ids, optional
            Wanted galaxies, in this order; by default all galaxies, sorted by id (rows of an array
            in their order).
        on_missing : {"raise", "skip"}
            Whether a wanted galaxy without an image raises an error, or is left out and listed in
            `missing`.
        field, bands : optional
            Replace `field` and `bands` of `reading`.
        max_pixels : int
            Largest image that is decoded, all bands together.
        reading : Reading, optional
            Options for reading the files: range or stretch of their values, names of bands, name of
            the FITS unit or array with the image, whether a picture or bands are read, name of the
            array of ids, share of the survey's field that the images show.

        Raises
        ------
        MissingFileError
            The source does not exist, or images are missing and `on_missing` is "raise".
        InputError
            The source has no image, two files are the same image of one galaxy by their names, or
            the archive is damaged.
        """
        how = reading or Reading()
        how = how if field is None else dataclasses.replace(how, field=field)
        how = how if bands is None else dataclasses.replace(how, bands=bands)
        galaxy_files = GalaxyFiles(archive(source, how), how, max_pixels)
        files = galaxy_files.galaxies()
        if not files:
            raise InputError(
                "no image found", where=source, rule="hold JPEG, PNG, FITS or array files"
            )
        wanted = np.asarray(list(files), dtype=object) if ids is None else ids
        missing = tuple(str(name) for name in wanted if name not in files)
        if missing and on_missing == "raise":
            raise MissingFileError(
                f"{len(missing):,} of {len(wanted):,} galaxies have no image, such as {missing[0]}",
                where=source,
                remedy="leave them out with --on-bad skip (in Python: on_missing='skip')",
            )
        ids_with_image = np.asarray([name for name in wanted if name in files], dtype=object)
        return cls(
            ids_with_image,
            (galaxy_files,),
            tuple((0, files[name]) for name in ids_with_image),
            missing,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        """Return the number of images, and their folder or archive, in one line."""
        places = sorted({str(files.archive.path) for files in self.galaxy_files})
        absent = f"{len(self.missing):,} missing" if self.missing else ""
        return brief.line("ImageSet", brief.count(len(self), "image"), *places[:2], absent)

    def _repr_html_(self) -> str:
        """Return thumbnails of the first images in HTML for a notebook; name broken images."""
        thumbnails = (self._thumbnail(row) for row in range(min(SHOWN, len(self))))
        return brief.html(repr(self), below=brief.row_of(thumbnails, len(self) - SHOWN))

    def _thumbnail(self, row: int) -> str:
        """Return an image as an HTML element; for an unreadable image, its id and fault as HTML."""
        name = str(self.ids[row])
        try:
            pixels = self.pixels(row, View(size=THUMBNAIL))
        except (InputError, MissingFileError) as error:
            return brief.without_picture(name, reason(error))
        data = BytesIO()
        Image.fromarray(pixels[..., :3]).save(data, "PNG")
        return brief.thumbnail(name, data.getvalue())

    def read(self, row: int) -> bytes:
        """Return the bytes of a galaxy's only file, or an uncompressed zip of its files.

        Parameters
        ----------
        row : int
            Number of the image in the order of `ids`, from 0.

        Raises
        ------
        InputError
            The file cannot be read, or its archive is damaged.
        MissingFileError
            The file no longer exists.
        """
        return self._image(row).read()

    def digest(self, row: int) -> str:
        """Return a SHA-256 of an image's bytes and of the options that change its pixels.

        Two images with equal digests have the same pixels under every view (crop, size, colours).

        Parameters
        ----------
        row : int
            Number of the image in the order of `ids`, from 0.

        Raises
        ------
        InputError
            The file cannot be read, or the galaxy's scale or radius, which set the crop, is unknown
            (see `Framing`).
        MissingFileError
            The file no longer exists.
        """
        return self._image(row).digest()

    def digests(self) -> list[str]:
        """Return the `digest` (SHA-256) of each image, in the order of `ids`."""
        return self._each(self.digest)

    def file_order(self) -> npt.NDArray[np.int64]:
        """Return all row numbers, shape (n,), in the order in which archives store the images.

        In this order, images that are compressed together are read one after the other. Separate
        files keep the order of the ids.
        """
        places = np.array(
            [(n, self.galaxy_files[n].position(files)) for n, files in self.places], dtype=np.int64
        ).reshape(-1, 2)
        return np.lexsort((places[:, 1], places[:, 0]))

    def stamp(self) -> str:
        """Return a SHA-256 of ids, file sizes and file times; it changes if any image file changes.

        It covers names, sizes and modification times, and reads no image but those of servers that
        state neither time nor checksum of a file. An archive counts as one file. A missing file
        also changes the result.
        """
        sources = [[source.reading.asdict(), source.max_pixels] for source in self.galaxy_files]
        states = self._states()
        places = [[n, files, state] for (n, files), state in zip(self.places, states, strict=True)]
        framing = [] if self.framing is None else [self.framing.fingerprint]
        return fingerprint.of([sources, self.ids.tolist(), places, *framing])

    def pixels(self, row: int, view: View, *, digest: str | None = None) -> npt.NDArray[np.uint8]:
        """Return an image's pixels, cropped and resized as a view says: (size, size, channels).

        The result has 3 channels, or one for each band that the view names.

        Parameters
        ----------
        row : int
            Number of the image in the order of `ids`, from 0.
        view : View
            Crop, size, colour, bands.
        digest : str, optional
            Digest of the image when it was read before; an image that has changed since is refused.

        Raises
        ------
        InputError
            The file is damaged, empty, no image, or far too large; a band is blank or missing; the
            view shows more sky than the image; or the image has changed.
        MissingFileError
            The file no longer exists.
        """
        return self._image(row).pixels(view, digest)

    def network_input(
        self,
        row: int,
        views: Sequence[View],
        *,
        digest: str | None = None,
        noted: Callable[[str], None] | None = None,
    ) -> NetworkInput:
        """Return what networks read: a whole picture, or bands cropped and resized for each view.

        A picture whose views name a stretch or bands is also cropped and resized for each view.
        Errors are those of `pixels`. If the image shows no galaxy (see `emptiness`), `noted` is
        called with the reason.

        Parameters
        ----------
        row : int
            Number of the image in the order of `ids`, from 0.
        views : sequence of View
            Views (crop, size, colours) under which networks receive the image.
        digest : str, optional
            Digest of the image, if it is known already.
        noted : callable, optional
            Function that is called with the reason.
        """
        return self._image(row).network_input(views, digest, noted)

    def picture_hash(self, row: int) -> bytes:
        """Return an image's perceptual hash, 64 bytes; zeros if it is broken or given as bands.

        See `picture_hash.picture_hash`.

        Parameters
        ----------
        row : int
            Number of the image in the order of `ids`, from 0.
        """
        return self._image(row).picture_hash()

    def picture_hashes(self) -> npt.NDArray[np.uint8]:
        """Return the perceptual hash of each picture, shape (n, 64); this decodes every image."""
        return np.frombuffer(b"".join(self._each(self.picture_hash)), dtype=np.uint8).reshape(
            len(self), -1
        )

    def of_kind(self, kind: str) -> ImageSet:
        """Return the same images, marked with the catalog format that their ids come from.

        Parameters
        ----------
        kind : str
            Name of a catalog format, such as kaggle (see `kinds.KINDS`).
        """
        return dataclasses.replace(self, kind="" if kind in ("table", "labels") else kind)

    def framed(self, framing: Framing | None) -> ImageSet:
        """Return the same images, cropped by each galaxy's pixel scale and Petrosian radius.

        Parameters
        ----------
        framing : Framing or None
            Scale and radius of each galaxy; with None, crops are the same share of every image.

        Raises
        ------
        InputError
            The images show only a part of the survey's field (`field` of `Reading`), so that crops
            by radius are impossible.
        """
        fields = {source.reading.field for source in self.galaxy_files}
        if framing is not None and fields != {1.0}:
            raise InputError(
                "field of the images",
                rule="be left out where pixel scale and Petrosian radius set the crop",
                found=", ".join(map(str, sorted(fields))),
            )
        return dataclasses.replace(self, framing=framing)

    def cached_in(self, cache: PictureCache | None) -> ImageSet:
        """Return the same images with a cache, which stores digests and pixels once they are read.

        Parameters
        ----------
        cache : PictureCache or None
            Stores digests and pixels; None for no cache.
        """
        return dataclasses.replace(self, cache=cache)

    def adopt_digests(self, digests: Mapping[str, str]) -> None:
        """Store digests of unchanged images, computed by an earlier run, in the cache.

        When pixels are needed later, the bytes that are decoded must have the stored digest.

        Parameters
        ----------
        digests : mapping of str to str
            Galaxy id → digest.
        """
        if self.cache is not None and self.framing is None:
            for row, name in enumerate(self.ids):
                if name in digests:
                    self._image(row).adopt_digest(digests[name])

    def select(self, ids: Ids) -> ImageSet:
        """Return the images with these ids, in the order of the ids; refuse an unknown id.

        Parameters
        ----------
        ids : array of str
            Shape (m,).
        """
        rows = positions(self.ids, ids, where="images")
        return dataclasses.replace(
            self, ids=ids, places=tuple(self.places[r] for r in rows), missing=()
        )

    def part(self, number: int, parts: int) -> ImageSet:
        """Return one of `parts` equal parts of the images; neighbours in an archive share a part.

        Parameters
        ----------
        number : int
            Number of the part, from 1.
        parts : int
            Number of parts.

        Raises
        ------
        InputError
            The number of images is smaller than `parts`.
        """
        rows = np.array_split(self.file_order(), parts)[number - 1]
        if not len(rows):
            raise InputError(
                "part of the images",
                rule=f"be one of at most {len(self)}",
                found=f"{number}/{parts}",
            )
        return self.select(self.ids[np.sort(rows)])

    def joined(self, other: ImageSet) -> ImageSet:
        """Return two sets of images as one; refuse an id in both sets, or different crop rules.

        Parameters
        ----------
        other : ImageSet
            Images of other galaxies.
        """
        if self.framing is not other.framing:
            raise InputError("images", rule="be framed by one catalog")
        moved = tuple((source + len(self.galaxy_files), files) for source, files in other.places)
        ids = np.concatenate([self.ids, other.ids])
        kind = self.kind if self.kind == other.kind else ""
        return ImageSet(
            ids,
            self.galaxy_files + other.galaxy_files,
            self.places + moved,
            self.missing + other.missing,
            kind,
            self.framing,
            self.cache,
        )

    def check(self, *, progress: Progress | bool = False) -> ImageCheck:
        """Decode every image; list the broken images with reasons, instead of raising an error.

        Images that `pixels` would accept are listed too if they show no galaxy or have lost their
        contrast: pictures whose pixels are all equal, bands with more than a tenth of bad pixels,
        and values of more than 8 bits that become fewer than 32 grey levels.

        Parameters
        ----------
        progress : Progress or bool
            Shows a progress bar; by default none is shown, True shows it in the terminal.
        """
        faults = self._each(self._fault, handed(progress), "checking images")
        return ImageCheck.of(self.ids, self.missing, faults)

    def duplicate_groups(self) -> dict[str, str]:
        """Group galaxies with equal image bytes; return galaxy id → first id of the galaxy's group.

        Images that cannot be read belong to no group.
        """
        same: dict[str, list[str]] = {}
        # no `digest`: it depends on the options for reading and on the crop too
        for name, digest in zip(self.ids, self._each(self._sha256_if_readable), strict=True):
            if digest is not None:
                same.setdefault(digest, []).append(str(name))
        return {name: names[0] for names in same.values() if len(names) > 1 for name in names}

    def _image(self, row: int) -> GalaxyImage:
        source, files = self.places[row]
        name = str(self.ids[row])
        return GalaxyImage(name, self.galaxy_files[source], files, self.framing, self.cache)

    def _fault(self, row: int) -> tuple[str | None, int | None]:
        return self._image(row).fault()

    def _states(self) -> list[Any]:
        """Return sizes and times of each galaxy's files, or the image's SHA-256 if one is unknown.

        A server may state neither size nor time of a file: then only its bytes reveal a change.
        They are read again even if a cache has the image's digest.
        """
        states: list[Any] = [self.galaxy_files[n].states(files) for n, files in self.places]
        unsure = [row for row, state in enumerate(states) if _lacks_facts(state)]
        if unsure:
            read = self.select(self.ids[unsure])
            for row, digest in zip(unsure, read._each(read._sha256_if_readable), strict=True):
                states[row] = digest
        return states

    def _sha256_if_readable(self, row: int) -> str | None:
        try:
            return fingerprint.of_bytes(self.read(row))
        except (InputError, MissingFileError):
            return None

    def _each(
        self, work: Callable[[int], Result], progress: Progress = SILENT, title: str = ""
    ) -> list[Result]:
        """Return the result of `work` for every image, in the order of the ids."""
        # threads can occupy all cores, because image decoders release Python's global lock
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = self.file_order()
            results = pool.map(work, rows.tolist())
            by_row = dict(
                zip(rows.tolist(), each(results, progress, title, len(self)), strict=True)
            )
            return [by_row[row] for row in range(len(self))]


def _lacks_facts(state: State) -> bool:
    """Return whether size or time of an existing file is unknown."""
    return any(known is not None and None in known for known in state)
