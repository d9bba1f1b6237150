"""Read images by name from a folder, zip, tar, HDF5 file, array stack or web address.

No archive is unpacked to disk, so names inside an archive never become paths on disk. An archive
object is small and can be pickled. It opens its file anew for each read, so that threads and
processes can share the object.
"""

from __future__ import annotations

import dataclasses
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, parsing
from gzfeatures.files import file_state, require_file
from gzfeatures.images.reading import READING, Reading
from gzfeatures.images.sources.arrays import ArrayFile
from gzfeatures.images.sources.folder import Folder, Single, is_image, opened
from gzfeatures.images.sources.remote import Remote, address, local_path
from gzfeatures.images.sources.seekable_gzip import GzipReader
from gzfeatures.images.sources.zip_members import name_fault, zip_fault
from gzfeatures.outputs import IMAGES


class Archive(Protocol):
    """Define the functions of an image source: list the images, and read an image by name."""

    @property
    def path(self) -> Path | str:
        """Return the file, folder or web address that contains the images."""
        ...

    def names(self) -> list[str]:
        """Return the sorted names of the images in this source."""
        ...

    def read(self, name: str) -> bytes:
        """Return the bytes of one image of this source."""
        ...

    def file_state(self, name: str) -> Sequence[int | str | None] | None:
        """Return size and time (or checksum) of an image's file; None if the file is missing.

        An item is None if it is not known.
        """
        ...

    def position(self, name: str) -> int:
        """Return a number by which to sort images, so that reading them in this order is fast."""
        ...


def archive(source: str | Path, how: Reading = READING) -> Archive:
    """Open a source of images: folder, .zip, .tar, .tar.gz, HDF5, .npy, image file or web address.

    Parameters
    ----------
    source : str or Path
        Folder or file; or the web address of a folder or zip, see `remote.Remote`.
    how : Reading
        Options for HDF5 files and .npy stacks: names of bands, name of the array of ids.

    Raises
    ------
    MissingFileError
        The source does not exist.
    InputError
        The source is damaged, or of a type that cannot be read without unpacking.
    """
    remote = address(source)
    if remote is not None and not remote.lower().startswith("file:"):
        return Remote.of(remote, is_image)
    path = require_file(source if remote is None else local_path(remote), "image source")
    name = path.name.lower()
    if path.is_dir():
        return Folder(path)
    if name.endswith(".zip"):
        return Zip.of(path)
    if name.endswith((".tar", ".tar.gz", ".tgz")):
        return Tar.of(path)
    if name.endswith((".h5", ".hdf5", ".hdf")) or (
        name.endswith(".npy") and ArrayFile.is_stack(path)
    ):
        return ArrayFile.of(path, how)
    if name.endswith(IMAGES):
        return Single(path)
    raise InputError(
        "not a source of images",
        where=path,
        rule="be a folder, .zip, .tar, .tar.gz, .h5, .npy or an image",
        remedy="pack it again as .zip",
    )


AGAIN = "fetch it again"
"""Remedy in error messages about a damaged archive."""

Place: TypeAlias = tuple[int, int, int]
"""Offset of an image's stored bytes, their number, and their decompressed number."""


@dataclasses.dataclass(frozen=True, eq=False)
class Zip:
    """Read images from a zip file; its directory is read only once.

    Parameters
    ----------
    path : Path
        The zip file.
    rows : dict of str to int
        Row of each image in `places`.
    places : ndarray of int64
        Shape (images, 4): offset of the zip header, stored and decompressed numbers of bytes, and
        CRC-32 of the decompressed bytes.
    refused : dict of str to str
        Reason why an image is unsafe to read.
    """

    path: Path
    rows: dict[str, int]
    places: npt.NDArray[np.int64]
    refused: dict[str, str]

    @classmethod
    def of(cls, path: Path) -> Zip:
        """List the images in a zip file, with reasons why some are unsafe to read."""
        rows: dict[str, int] = {}
        refused: dict[str, str] = {}
        with (
            parsing("zip file is damaged", path, remedy=AGAIN),
            zipfile.ZipFile(path) as file,
        ):
            members = [m for m in file.infolist() if not m.is_dir() and is_image(m.filename)]
            for row, member in enumerate(members):
                rows[member.filename] = row
                reason = zip_fault(member)
                if reason is not None:
                    refused[member.filename] = reason
            places = np.array(
                [(m.header_offset, m.compress_size, m.file_size, m.CRC) for m in members],
                dtype=np.int64,
            )
        # copy the names: the original ones lie in memory between the other objects of the zip
        # directory, and Python returns memory only in large blocks of which nothing is used, so
        # most of the directory's memory would stay occupied
        return cls(
            path, {name.encode().decode(): row for name, row in rows.items()}, places, refused
        )

    def names(self) -> list[str]:
        """Return the sorted names of the images in the zip file."""
        return sorted(self.rows)

    def read(self, name: str) -> bytes:
        """Return the decompressed bytes of one image in the zip file.

        Raises
        ------
        InputError
            The image is unsafe to read, or damaged.
        """
        _allow(self.path, name, self.refused)
        offset, packed, size, checksum = map(int, self.places[self.rows[name]])
        with opened(self.path) as file:
            file.seek(offset)
            header = file.read(30)
            if len(header) < 30 or header[:4] != b"PK\x03\x04":
                raise InputError(
                    "zip member is damaged",
                    where=f"{self.path}: {name}",
                    rule="have a local header",
                    remedy=AGAIN,
                )
            method, names, extra = struct.unpack("<8xH16xHH", header)
            file.seek(names + extra, os.SEEK_CUR)
            data = file.read(packed)
        if method != zipfile.ZIP_STORED:
            with parsing("zip member is damaged", f"{self.path}: {name}", remedy=AGAIN):
                data = zlib.decompressobj(-15).decompress(data, size + 1)
        if zlib.crc32(data) != checksum:
            raise InputError(
                "zip member is damaged",
                where=f"{self.path}: {name}",
                rule=f"have the CRC-32 {checksum:08x} of the zip's directory",
                found=f"{zlib.crc32(data):08x}",
                remedy=AGAIN,
            )
        return data

    def file_state(self, name: str) -> list[int] | None:
        """Return size and modification time of the zip file; None if the file is missing."""
        return file_state(self.path)

    def position(self, name: str) -> int:
        """Return an image's offset in the zip file; sort by it to read fast."""
        return int(self.places[self.rows[name], 0])


@dataclasses.dataclass(frozen=True, eq=False)
class Tar:
    """Read images from a .tar or .tar.gz file.

    A gzipped file is read from the nearest decompressor state that was stored while listing it.
    """

    path: Path
    places: dict[str, Place]
    refused: dict[str, str]
    gzipped: bool

    @classmethod
    def of(cls, path: Path) -> Tar:
        """List the images in a tar file, with reasons why some are unsafe to read."""
        places: dict[str, Place] = {}
        refused: dict[str, str] = {}
        with path.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
        with (
            parsing("tar file is damaged", path, remedy=AGAIN),
            _tar_bytes(path, gzipped) as raw,
            tarfile.open(fileobj=raw, mode="r:") as tar,
        ):
            for member in tar:
                if member.isdir() or not is_image(member.name):
                    continue
                places[member.name] = (member.offset_data, member.size, member.size)
                reason = None if member.isreg() else "archive member is a link or a device"
                reason = reason or name_fault(member.name, member.size)
                if reason is not None:
                    refused[member.name] = reason
            # check that the closing block exists: `tarfile` does not, so a file that was cut off
            # would look complete
            raw.seek(tar.offset)
            if raw.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("no closing block, so it is cut off or damaged")
            # read on to the end: gzip's checksum, which follows the last byte, is checked there
            while gzipped and raw.read(2**20):
                pass
        return cls(path, places, refused, gzipped)

    def names(self) -> list[str]:
        """Return the sorted names of the images in the tar file."""
        return sorted(self.places)

    def read(self, name: str) -> bytes:
        """Return the bytes of one image in the tar file.

        Raises
        ------
        InputError
            The image is unsafe to read, or the tar file is damaged.
        """
        _allow(self.path, name, self.refused)
        offset, size, _ = self.places[name]
        with (
            parsing("tar file is damaged", f"{self.path}: {name}"),
            _tar_bytes(self.path, self.gzipped) as file,
        ):
            file.seek(offset)
            return file.read(size)

    def file_state(self, name: str) -> list[int] | None:
        """Return size and modification time of the tar file; None if the file is missing."""
        return file_state(self.path)

    def position(self, name: str) -> int:
        """Return an image's offset in the tar file; sort by it to read fast."""
        return self.places[name][0]


def _tar_bytes(path: Path, gzipped: bool) -> IO[bytes] | GzipReader:
    return GzipReader(path) if gzipped else opened(path)


def _allow(path: Path, name: str, refused: dict[str, str]) -> None:
    """Refuse to read an image that was found unsafe when the archive was listed."""
    if name in refused:
        raise InputError(
            refused[name], where=f"{path}: {name}", remedy="pack the archive again without it"
        )
