"""List galaxies' images by id; read files, digests (sha256) and pixels; find broken images."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Literal, TypeVar

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
from gzfeatures.images.picture_cache import PictureCache
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
        Archives the images lie in.
    places : tuple of (int, Files)
        For each id which of these archives it lies in, and its files there.
    missing : tuple of str
        Ids that were asked for and have no image.
    kind : str
        Kind of the catalog that the ids come from (see `kinds.KINDS`); empty where nothing is known
        of it.
    framing : Framing, optional
        Pixel scale and Petrosian radius of each galaxy, by which views are cut; None where every
        image is a frame.
    cache : PictureCache, optional
        Where digests and pixels of images that were read are kept, so that no file is read or
        decoded twice; None keeps nothing.
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

        An id is a file's stem, at any depth. `PGC0000212_g.fits`, `…_r.fits` (FITS or .npy; after
        _, - or .) are bands of one galaxy, and so are files named by any filter that `filters`
        knows (`_HSC-G`, `_F115W`, `_NIR_Y`). In an HDF5 file or .npy stack an id is the row, or
        stands in an array `galaxy_id`, `object_id` and the like.

        Parameters
        ----------
        source : str or Path
            Folder, .zip, .tar, .tar.gz, .h5, .npy stack, or one image file; or the address of a
            folder or zip that fsspec reads (`https://…`, `s3://…`).
        ids : Ids, optional
            Galaxies wanted, in this order; by default all, sorted (rows of an array: in their
            order).
        on_missing : {"raise", "skip"}
            Whether a wanted galaxy without an image is an error, or is left out and listed in
            `missing`.
        field, bands : optional
            In place of those of `reading`.
        max_pixels : int
            Largest image that is decoded, all bands together.
        reading : Reading, optional
            What the files do not say themselves: range or stretch of their values, names of bands,
            the plane that is the image, which of a picture and bands is meant, where ids stand,
            what share of a frame they hold.

        Raises
        ------
        MissingFileError
            The source is not there, or images are missing and `on_missing` is "raise".
        InputError
            There is no image at all, two files claim the same galaxy, or the archive is damaged.
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
        """Return an image as an HTML element; for an unreadable image its id and the fault."""
        name = str(self.ids[row])
        try:
            pixels = self.pixels(row, View(size=THUMBNAIL))
        except (InputError, MissingFileError) as error:
            return brief.without_picture(name, reason(error))
        data = BytesIO()
        Image.fromarray(pixels[..., :3]).save(data, "PNG")
        return brief.thumbnail(name, data.getvalue())

    def read(self, row: int) -> bytes:
        """Return the bytes of an image as stored; several files as an uncompressed zip.

        Parameters
        ----------
        row : int
            Place of the image, from 0.

        Raises
        ------
        InputError
            The file cannot be read, or its archive is damaged.
        MissingFileError
            It has vanished.
        """
        return self._image(row).read()

    def digest(self, row: int) -> str:
        """Return a SHA-256 of an image's bytes and of the options that change its pixels.

        Two images with one digest give the same pixels under every view.

        Parameters
        ----------
        row : int
            Place of the image, from 0.

        Raises
        ------
        InputError
            The file cannot be read, or the galaxy lacks what sets its crop (see `Framing`).
        MissingFileError
            It has vanished.
        """
        return self._image(row).digest()

    def digests(self) -> list[str]:
        """Return each image's SHA-256 digest (bytes and options), in the order of the ids."""
        return self._each(self.digest)

    def file_order(self) -> npt.NDArray[np.int64]:
        """Return all row numbers, shape (n,), in the order in which archives store the images.

        What is compressed together is then read together. Separate files keep the order of the ids.
        """
        places = np.array(
            [(n, self.galaxy_files[n].position(files)) for n, files in self.places], dtype=np.int64
        ).reshape(-1, 2)
        return np.lexsort((places[:, 1], places[:, 0]))

    def stamp(self) -> str:
        """Return a SHA-256 of ids, file sizes and file times; it changes if any image file changes.

        It covers names, sizes and times of change, and reads no image.

        An archive counts as one file. A file that has vanished counts as such.
        """
        sources = [[source.reading.asdict(), source.max_pixels] for source in self.galaxy_files]
        # size and modification time reveal a changed file without reading it
        places = [[n, files, self.galaxy_files[n].states(files)] for n, files in self.places]
        framing = [] if self.framing is None else [self.framing.fingerprint]
        return fingerprint.of([sources, self.ids.tolist(), places, *framing])

    def pixels(self, row: int, view: View, *, digest: str | None = None) -> npt.NDArray[np.uint8]:
        """Return an image's pixels under a view (crop, size), shape (size, size, channels).

        There are 3 channels, or as many as the view names bands.

        Parameters
        ----------
        row : int
            Row of the image.
        view : View
            Crop, size, colour, bands.
        digest : str, optional
            The digest that was read before; an image that is no longer the same is refused.

        Raises
        ------
        InputError
            The file is broken, has zero bytes, is not an image, or is absurdly large; a band is
            blank or not there; the view wants more sky than the image holds; or the image has
            changed.
        MissingFileError
            It has vanished.
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
        """Return the uncropped picture, or pixels per view (crop, size, bands) if views name bands.

        Parameters and errors are those of `pixels`; `noted` is called with the reason where the
        image shows no galaxy (see `emptiness`).

        Parameters
        ----------
        row : int
            Place of the image, from 0.
        views : sequence of View
            What networks see of it.
        digest : str, optional
            Its digest, where that is known already.
        noted : callable, optional
            Takes the reason.
        """
        return self._image(row).network_input(views, digest, noted)

    def picture_hash(self, row: int) -> bytes:
        """Return a picture's perceptual hash, 64 bytes; zeros for bands or a broken image.

        See `picture_hash.picture_hash`.

        Parameters
        ----------
        row : int
            Place of the image, from 0.
        """
        return self._image(row).picture_hash()

    def picture_hashes(self) -> npt.NDArray[np.uint8]:
        """Return the perceptual hash of each picture, shape (n, 64); this decodes every image."""
        return np.frombuffer(b"".join(self._each(self.picture_hash)), dtype=np.uint8).reshape(
            len(self), -1
        )

    def of_kind(self, kind: str) -> ImageSet:
        """Return the same images, with a note of which kind of catalog their ids come from.

        Parameters
        ----------
        kind : str
            Kind of a catalog.
        """
        return dataclasses.replace(self, kind="" if kind in ("table", "labels") else kind)

    def framed(self, framing: Framing | None) -> ImageSet:
        """Return the same images, cropped by each galaxy's pixel scale and Petrosian radius.

        Parameters
        ----------
        framing : Framing or None
            Scale and radius; None crops all images alike.

        Raises
        ------
        InputError
            The images are parts of a frame already (`field`).
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
            Where they are kept; None keeps nothing.
        """
        return dataclasses.replace(self, cache=cache)

    def adopt_digests(self, digests: Mapping[str, str]) -> None:
        """Store digests of unchanged images, computed by an earlier run, in the cache.

        Where pixels are needed, the bytes that are decoded must have them.

        Parameters
        ----------
        digests : mapping of str to str
            Digest by id.
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
        """Return one of `parts` equal parts of the images; those stored side by side share a part.

        Parameters
        ----------
        number : int
            Which part, from 1.
        parts : int
            How many there are.

        Raises
        ------
        InputError
            There are fewer images than parts.
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

        A picture whose pixels all have one value is listed too, although `pixels` would serve it,
        and so are bands with more than a tenth of bad pixels, and values of more than 8 bits that
        become fewer than 32 grey levels.

        Parameters
        ----------
        progress : Progress or bool
            Where a bar goes; nowhere by default. True is the terminal.
        """
        faults = self._each(self._fault, handed(progress), "checking images")
        return ImageCheck.of(self.ids, self.missing, faults)

    def duplicate_groups(self) -> dict[str, str]:
        """Group galaxies whose image bytes are equal; return for each the first id of its group.

        Images that cannot be read belong to no group.
        """
        same: dict[str, list[str]] = {}
        for name, digest in zip(self.ids, self._each(self._digest_if_readable), strict=True):
            if digest is not None:
                same.setdefault(digest, []).append(str(name))
        return {name: names[0] for names in same.values() if len(names) > 1 for name in names}

    def _image(self, row: int) -> GalaxyImage:
        source, files = self.places[row]
        name = str(self.ids[row])
        return GalaxyImage(name, self.galaxy_files[source], files, self.framing, self.cache)

    def _fault(self, row: int) -> tuple[str | None, int | None]:
        return self._image(row).fault()

    def _digest_if_readable(self, row: int) -> str | None:
        try:
            return self.digest(row)
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
