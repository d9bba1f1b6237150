"""Read images from an address: a bucket, a web folder with an index page, or a zip file."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gzfeatures.errors import InputError, MissingExtraError, need, parsing
from gzfeatures.images.sources.arrays import MAX_BYTES

SCHEME = re.compile(r"(?:\w+::)*[a-z][a-z0-9+.-]+:/+", re.IGNORECASE)
"""Pattern of the start of an address, which a Windows drive letter does not match."""


@dataclasses.dataclass(frozen=True, eq=False)
class Remote:
    """Read images from an address.

    Parameters
    ----------
    path : str
        The address, in fsspec's words: `https://host/folder/`, `s3://bucket/folder`,
        `zip::https://host/images.zip`. With `simplecache::` before it each image travels once.
    root : str
        How its names begin there.
    sizes : dict of str to int or None
        Bytes of each image, as far as the place says.
    """

    path: str
    root: str
    sizes: dict[str, int | None]

    @classmethod
    def of(cls, address: str, wanted: Callable[[str], bool]) -> Remote:
        """List the images at an address, for which `wanted` returns True.

        Raises
        ------
        MissingExtraError
            fsspec, or what it needs for this kind of address, is not installed.
        InputError
            Nothing answers there, what answers cannot be listed, or it is an archive that threads
            cannot share.
        """
        if address.lower().endswith((".tar", ".tar.gz", ".tgz", ".h5", ".hdf5", ".npy")):
            raise InputError(
                "not read at an address",
                where=address,
                rule="be a folder or a .zip",
                remedy="fetch it, then read the file",
            )
        if address.lower().endswith(".zip") and "zip::" not in address:
            address = "zip::" + address
        remedy = "check the address; a web folder needs an index page"
        with parsing("images cannot be listed", address, remedy=remedy):
            system, root = _system(address)
            # `find` returns an empty list for a place that does not answer; `ls` raises an error
            system.ls(root, detail=False)
            listed = system.find(root, detail=True)
        # make names relative to the address, so that ids do not depend on the protocol
        names = {
            str(name).removeprefix(root).lstrip("/"): entry.get("size")
            for name, entry in listed.items()
        }
        return cls(
            address,
            root.rstrip("/"),
            {name: size for name, size in sorted(names.items()) if _below(name) and wanted(name)},
        )

    def names(self) -> list[str]:
        """Return the names of the images relative to the address, sorted."""
        return list(self.sizes)

    def read(self, name: str) -> bytes:
        """Return the bytes of one image.

        Raises
        ------
        InputError
            It cannot be had, or is too large.
        """
        if (self.sizes[name] or 0) > MAX_BYTES:
            raise InputError(
                "image file is too large",
                where=f"{self.path}: {name}",
                rule=f"hold at most {MAX_BYTES} bytes",
            )
        with parsing("image cannot be read", f"{self.path}: {name}"):
            data: bytes = _system(self.path)[0].cat_file(f"{self.root}/{name}".lstrip("/"))
        return data

    def file_state(self, name: str) -> list[int | None]:
        """Return the size of the image, if it was known when the images were listed."""
        return [self.sizes[name]]


def address(source: str | Path) -> str | None:
    """Return a source as an address with both slashes restored; None for a local path."""
    text = str(source)
    match = SCHEME.match(text)
    return None if match is None else text[: match.end()].rstrip("/") + "//" + text[match.end() :]


def _below(name: str) -> bool:
    """Return whether a listed name stays below the address; an index page may link elsewhere."""
    return bool(name) and ".." not in name.split("/") and "://" not in name


def _system(address: str) -> tuple[Any, str]:
    need("fsspec", extra="remote")
    from fsspec.core import url_to_fs

    try:
        system, root = url_to_fs(address)
    except ImportError as error:
        raise MissingExtraError(
            "address needs a further package", where=address, remedy=str(error)
        ) from None
    return system, str(root)
