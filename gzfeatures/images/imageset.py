"""ImageSet: ids → files → digests → pixels; what is broken, and why."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, MissingFileError
from gzfeatures.files import existing
from gzfeatures.galaxies.ids import Ids, positions, require_unique
from gzfeatures.images.archives import Archive, Folder
from gzfeatures.images.pictures import MAX_PIXELS, picture
from gzfeatures.images.views import View


@dataclasses.dataclass(frozen=True)
class ImageCheck:
    """What `ImageSet.check` found.

    Parameters
    ----------
    found : int
        Galaxies that have an image, whole or broken.
    missing : tuple of str
        Ids asked for that have none.
    broken : tuple of (str, str)
        Id and reason of each image that cannot be used, in the order of the set.
    """

    found: int
    missing: tuple[str, ...]
    broken: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of galaxies by id.

    Parameters
    ----------
    ids : Ids
        Shape (n,), unique.
    archive : Archive
        Where the images lie.
    names : tuple of str
        Name of each id's image in the archive.
    missing : tuple of str
        Ids that were asked for and have no image.
    max_pixels : int
        Largest image that is decoded.
    """

    ids: Ids
    archive: Archive
    names: tuple[str, ...]
    missing: tuple[str, ...] = ()
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        require_unique(self.ids, where="images")
        if len(self.ids) != len(self.names):
            raise InputError("images", rule="have one name per id", found=f"{len(self.names)} for {len(self.ids)} ids")

    @classmethod
    def of(
        cls,
        source: str | Path,
        ids: Ids | None = None,
        on_missing: Literal["raise", "skip"] = "raise",
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> ImageSet:
        """Images of a folder; an id is a file's stem.

        Parameters
        ----------
        source : str or Path
            The folder.
        ids : Ids, optional
            Galaxies wanted, in this order; by default all, sorted.
        on_missing : {"raise", "skip"}
            Whether a wanted galaxy without an image is an error, or is left out and listed in `missing`.
        max_pixels : int
            Largest image that is decoded.

        Raises
        ------
        MissingFileError
            The source is not there, or images are missing and `on_missing` is "raise".
        InputError
            There is no image at all, or two carry the same id.
        """
        archive = Folder(existing(source, "image folder"))
        files: dict[str, str] = {}
        for name in archive.names():
            stem = Path(name).stem
            if stem in files:
                raise InputError(
                    f"two images carry the id {stem}",
                    where=source,
                    found=f"{files[stem]} and {name}",
                    remedy="keep one of them",
                )
            files[stem] = name
        if not files:
            raise InputError("no image found", where=source)
        wanted = np.asarray(sorted(files), dtype=object) if ids is None else ids
        missing = tuple(str(name) for name in wanted if name not in files)
        if missing and on_missing == "raise":
            raise MissingFileError(
                f"{len(missing)} of {len(wanted)} images are missing",
                where=source,
                found=missing[0],
                remedy="leave these galaxies out, or ask to skip them",
            )
        here = np.asarray([name for name in wanted if name in files], dtype=object)
        return cls(here, archive, tuple(files[name] for name in here), missing, max_pixels)

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, row: int) -> bytes:
        """Bytes of the image as stored."""
        return self.archive.read(self.names[row])

    def digest(self, row: int) -> str:
        """Sha256 (64 hex digits) of the image's bytes."""
        return fingerprint.of_bytes(self.read(row))

    def pixels(self, row: int, view: View) -> npt.NDArray[np.uint8]:
        """Pixels of one image under a view, shape (size, size, 3).

        Raises
        ------
        InputError
            The file is broken, has zero bytes, is not an image, or is absurdly large.
        """
        return self.pixels_of(row, self.read(row), view)

    def pixels_of(self, row: int, data: bytes, view: View) -> npt.NDArray[np.uint8]:
        """As `pixels`, of bytes that `read(row)` gave, for a caller that needs both digest and pixels."""
        return view.apply(picture(data, where=self._where(row), max_pixels=self.max_pixels))

    def select(self, ids: Ids) -> ImageSet:
        """Images of these ids, in this order; an unknown id is an InputError."""
        rows = positions(self.ids, ids, where="images")
        return dataclasses.replace(self, ids=ids, names=tuple(self.names[r] for r in rows), missing=())

    def check(self, *, progress: bool = False) -> ImageCheck:
        """Decode every image and list what is broken, with the reason; raises for none of them.

        A picture whose pixels all have one value is listed too, although `pixels` would serve it.

        Parameters
        ----------
        progress : bool
            Draw a progress bar on stderr.
        """
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            reasons = list(_tracked(pool.map(self._fault, range(len(self))), len(self), progress))
        broken = tuple((str(name), reason) for name, reason in zip(self.ids, reasons, strict=True) if reason)
        return ImageCheck(len(self), self.missing, broken)

    def duplicate_groups(self) -> dict[str, str]:
        """Group of each galaxy whose image is byte for byte another's: id → the first id that shows it.

        Images that cannot be read belong to no group.
        """
        rows: dict[str, list[str]] = {}
        for row, name in enumerate(self.ids):
            try:
                rows.setdefault(self.digest(row), []).append(str(name))
            except (InputError, MissingFileError):
                continue
        return {name: names[0] for names in rows.values() if len(names) > 1 for name in names}

    def _where(self, row: int) -> Path:
        return self.archive.path / self.names[row]

    def _fault(self, row: int) -> str | None:
        """Why the image cannot be used, or None."""
        try:
            image = picture(self.read(row), where=self._where(row), max_pixels=self.max_pixels)
        except (InputError, MissingFileError) as error:
            return error.what if error.found is None else f"{error.what}: {error.found}"
        low = np.asarray(image.getextrema()).reshape(-1, 2)
        return f"image is blank: every pixel is {low[:, 0].tolist()}" if (low[:, 0] == low[:, 1]).all() else None


def _tracked(items: Iterator[str | None], total: int, progress: bool) -> Iterator[str | None]:
    if not progress:
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, "checking images", total=total, console=Console(stderr=True))
