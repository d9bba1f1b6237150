"""Read images that are separate files; recognise image files by their names."""

from __future__ import annotations

import dataclasses
import os
import posixpath
from pathlib import Path
from typing import IO

from gzfeatures.errors import InputError, MissingFileError
from gzfeatures.files import file_state
from gzfeatures.images.sources.arrays import MAX_BYTES
from gzfeatures.outputs import IMAGES


@dataclasses.dataclass(frozen=True)
class Folder:
    """Read image files in a folder and its subfolders.

    Hidden files are ignored, and linked folders are not entered.
    """

    path: Path

    def names(self) -> list[str]:
        """Return the sorted names of the image files, relative to the folder."""
        listed: list[str] = []
        for folder, below, files in os.walk(self.path):
            below[:] = [name for name in below if not name.startswith(".")]
            prefix = os.path.relpath(folder, self.path)
            listed += [
                name if prefix == "." else f"{prefix}/{name}" for name in files if is_image(name)
            ]
        return sorted(listed)

    def read(self, name: str) -> bytes:
        """Return the bytes of one image file in the folder.

        Raises
        ------
        InputError
            The name is a link that leaves the folder, or the file cannot be read.
        MissingFileError
            The file no longer exists.
        """
        path = self.path / name
        if path.is_symlink() and not path.resolve().is_relative_to(self.path.resolve()):
            raise InputError("link leaves its folder", where=path, rule=f"stay under {self.path}")
        return _file_bytes(path)

    def file_state(self, name: str) -> list[int] | None:
        """Return size and modification time of an image file; None if the file is missing."""
        return file_state(self.path / name)

    def position(self, name: str) -> int:
        """Return 0 for each image: separate files are equally fast to read in any order."""
        return 0


@dataclasses.dataclass(frozen=True)
class Single:
    """Read a single image file, as a source with one image."""

    path: Path

    def names(self) -> list[str]:
        """Return a list of one name: that of the single image file."""
        return [self.path.name]

    def read(self, name: str) -> bytes:
        """Return the bytes of the single image file, whatever `name` is."""
        return _file_bytes(self.path)

    def file_state(self, name: str) -> list[int] | None:
        """Return size and modification time of the image file; None if the file is missing."""
        return file_state(self.path)

    def position(self, name: str) -> int:
        """Return 0: a single image needs no order of reading."""
        return 0


def is_image(name: str) -> bool:
    """Return whether a file name has the ending of an image; False for hidden files.

    Examples
    --------
    >>> is_image("galaxies/M51.jpg"), is_image(".M51.jpg"), is_image("README.md")
    (True, False, False)
    """
    name = posixpath.basename(name.replace("\\", "/"))
    return not name.startswith(".") and name.lower().endswith(IMAGES)


def opened(path: Path) -> IO[bytes]:
    """Open an image file for reading; raise an error if it was removed after listing.

    Raises
    ------
    MissingFileError
        The file no longer exists.
    InputError
        The file cannot be read.
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
