"""Archives: bytes of images by name, read in place from a folder. Names are only ever looked up."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Protocol

from gzfeatures.errors import InputError, MissingFileError

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".tif", ".tiff", ".webp")


class Archive(Protocol):
    """A place that holds images by name; picklable, and safe to read from many threads and forked processes."""

    @property
    def path(self) -> Path:
        """File or folder of the archive."""

    def names(self) -> list[str]:
        """Names of its images, sorted."""

    def read(self, name: str) -> bytes:
        """Bytes of one image."""


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
                name if prefix == "." else f"{prefix}/{name}"
                for name in files
                if name.lower().endswith(SUFFIXES) and not name.startswith(".")
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
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise MissingFileError("image has vanished", where=path) from None
        except OSError as error:
            raise InputError("image cannot be read", where=path, found=error.strerror) from None
