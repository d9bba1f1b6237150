"""Folders: images as files of their own, in a folder or one by itself, and which files are images at all."""

from __future__ import annotations

import dataclasses
import os
import posixpath
from pathlib import Path
from typing import IO

from gzfeatures.errors import InputError, MissingFileError
from gzfeatures.files import file_state
from gzfeatures.images.sources.arrays import MAX_BYTES

PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".tif", ".tiff", ".webp")
BANDS = (
    ".fits",
    ".fit",
    ".fts",
    ".fits.gz",
    ".fit.gz",
    ".fts.gz",
    ".fits.fz",
    ".fit.fz",
    ".npy",
    ".npz",
)


@dataclasses.dataclass(frozen=True)
class Folder:
    """Images in a folder and the folders below it; hidden names are passed over, linked folders are not entered."""

    path: Path

    def names(self) -> list[str]:
        """Relative names of the images, sorted."""
        found: list[str] = []
        for folder, below, files in os.walk(self.path):
            below[:] = [name for name in below if not name.startswith(".")]
            prefix = os.path.relpath(folder, self.path)
            found += [
                name if prefix == "." else f"{prefix}/{name}" for name in files if is_image(name)
            ]
        return sorted(found)

    def read(self, name: str) -> bytes:
        """Bytes of one file.

        Raises
        ------
        InputError
            The name is a link that leaves the folder, or the file cannot be read.
        MissingFileError
            It is no longer there.
        """
        path = self.path / name
        if path.is_symlink() and not path.resolve().is_relative_to(self.path.resolve()):
            raise InputError("link leaves its folder", where=path, rule=f"stay under {self.path}")
        return _file_bytes(path)

    def file_state(self, name: str) -> list[int] | None:
        """Size and time of change of the file; None where it is gone."""
        return file_state(self.path / name)


@dataclasses.dataclass(frozen=True)
class Single:
    """One image file."""

    path: Path

    def names(self) -> list[str]:
        """The file's own name."""
        return [self.path.name]

    def read(self, name: str) -> bytes:
        """Bytes of the file."""
        return _file_bytes(self.path)

    def file_state(self, name: str) -> list[int] | None:
        """Size and time of change of the file that holds the image; None where it is gone."""
        return file_state(self.path)


def is_image(name: str) -> bool:
    """Whether a file, by its name, holds an image; a hidden one does not."""
    name = posixpath.basename(name.replace("\\", "/"))
    return not name.startswith(".") and name.lower().endswith(PICTURES + BANDS)


def opened(path: Path) -> IO[bytes]:
    """A file that was there when it was listed, open for reading.

    Raises
    ------
    MissingFileError
        It is no longer there.
    InputError
        It cannot be read.
    """
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise MissingFileError("image has vanished", where=path) from None
    except OSError as error:
        raise InputError("image cannot be read", where=path, found=error.strerror) from None


def _file_bytes(path: Path) -> bytes:
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise InputError(
                "image file is too large",
                where=path,
                rule=f"hold at most {MAX_BYTES} bytes",
                found=size,
            )
        return file.read()
