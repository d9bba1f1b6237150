"""Read images from web addresses: cloud buckets, web folders with index pages, or zip files."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from gzfeatures.errors import InputError, MissingExtraError, need, parsing
from gzfeatures.images.sources.arrays import MAX_BYTES
from gzfeatures.images.sources.zip_members import zip_fault
from gzfeatures.web.outcomes import NoAnswer, Unanswered

SCHEME = re.compile(r"(?:\w+::)*[a-z][a-z0-9+.-]+:/+", re.IGNORECASE)
"""Pattern of the start of an address, which a Windows drive letter does not match."""
WEB = re.compile(r"(?:(?<=::)|^)https?://", re.IGNORECASE)
"""Pattern of a web address, alone or at the end of a chain such as `zip::https://…`."""

VERSIONS = (
    *("ETag", "etag", "md5Hash", "content_hash", "sha", "blob_id", "hex", "CRC"),
    *("LastModified", "last_modified", "updated", "mtime", "modified", "modify", "created"),
)
"""Keys of a listing by fsspec that state an image's version, those of checksums first."""


@dataclasses.dataclass(frozen=True, eq=False)
class Remote:
    """Read images from a web address or cloud bucket, by name.

    Parameters
    ----------
    path : str
        The address in the form of fsspec: `https://host/folder/`, `s3://bucket/folder`,
        `zip::https://host/images.zip`. With `simplecache::` before the address, each image is
        downloaded only once.
    root : str
        Beginning of the path of every image at that address.
    sizes : dict of str to int or None
        Size of each image in bytes; None if the server does not state it.
    paths : dict of str to str
        Path of each image whose path is not `root` followed by the image's name.
    versions : dict of str to str
        Version of each image that the listing states: a checksum or a time. Listings of buckets and
        zip files state one, index pages do not.
    """

    path: str
    root: str
    sizes: dict[str, int | None]
    paths: dict[str, str] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, address: str, wanted: Callable[[str], bool]) -> Remote:
        """List the images at a web address; `wanted` says which file names are images.

        Raises
        ------
        MissingExtraError
            fsspec, or the package that it needs for this type of address, is not installed.
        InputError
            No server answers, the server cannot list its files, or the address is an archive that
            threads cannot share.
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
        with _told("images cannot be listed", address, remedy=remedy):
            system, root = _system(address)
            if not WEB.search(address):
                # list the folder first: this raises an error if no server answers, whereas
                # `find` would return an empty list
                system.ls(root, detail=False)
            listed = system.find(root, detail=True)
        root = root.rstrip("/")
        sizes: dict[str, int | None] = {}
        paths: dict[str, str] = {}
        versions: dict[str, str] = {}
        for path, entry in sorted(listed.items()):
            # use names relative to the address, so that galaxy ids do not depend on the protocol
            name = str(entry.get("relative", str(path).removeprefix(root).lstrip("/")))
            if _below(name) and wanted(name):
                sizes[name] = entry.get("size")
                stated = [entry[key] for key in VERSIONS if entry.get(key) is not None]
                versions |= {name: str(stated[0])} if stated else {}
                if str(path) != f"{root}/{name}".lstrip("/"):
                    paths[name] = str(path)
        return cls(address, root, sizes, paths, versions)

    def names(self) -> list[str]:
        """Return the sorted names of the images, relative to the web address."""
        return list(self.sizes)

    def read(self, name: str) -> bytes:
        """Return the bytes of one image at the web address.

        Raises
        ------
        InputError
            The image cannot be downloaded, or is too large.
        """
        where = f"{self.path}: {name}"
        if (self.sizes[name] or 0) > MAX_BYTES:
            raise _too_large(where)
        path = self.paths.get(name, f"{self.root}/{name}".lstrip("/"))
        with _told("image cannot be read", where):
            system = _system(self.path)[0]
            if isinstance(getattr(system, "zip", None), zipfile.ZipFile):
                _allow_member(system.zip.getinfo(path), where)
            if WEB.match(self.path):
                # read the file in a single request; our reader of web files limits the length of
                # the answer itself
                data: bytes = system.cat_file(path)
                return data
            data = _read(system, path, self.path)
        if len(data) > MAX_BYTES:
            raise _too_large(where)
        return data

    def file_state(self, name: str) -> list[int | str | None]:
        """Return an image's size and version (checksum or time); None for what is not known."""
        return [self.sizes[name], self.versions.get(name)]

    def position(self, name: str) -> int:
        """Return 0 for each image: each needs its own request, so no order is faster."""
        return 0


def address(source: str | Path) -> str | None:
    """Return a web or file address, restoring slashes that pathlib removed; None for a local path.

    Examples
    --------
    >>> address("https:/host/images"), address("file:/data/images"), address("images")
    ('https://host/images', 'file:///data/images', None)
    """
    text = str(source)
    match = SCHEME.match(text)
    if match is None:
        return None
    # pathlib joins slashes into one; restore three slashes for a local file, two for other
    # addresses
    if not match[0].endswith("//"):
        local = match[0].rstrip("/").rpartition("::")[2].lower() in ("file:", "local:")
        return match[0] + ("//" if local else "/") + text[match.end() :]
    return text


def local_path(address: str) -> Path:
    """Return the local path that a `file:` address means (RFC 8089).

    Raises
    ------
    InputError
        The address names a different computer.

    Examples
    --------
    >>> local_path("file:///data/my%20images").as_posix()
    '/data/my images'
    """
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost"):
        raise InputError(
            "files of another machine", where=address, rule="begin with file:/// and a path"
        )
    return Path(url2pathname(parts.path))


def _read(system: Any, path: str, address: str) -> bytes:
    """Return a file's first bytes, one more than allowed, so that a too large file is noticed."""

    def read() -> bytes:
        with system.open(path, "rb") as file:
            data: bytes = file.read(MAX_BYTES + 1)
            return data

    if WEB.search(address):
        # no time limit is needed here, because our reader of web files limits the time of each
        # request
        return read()
    from gzfeatures.images.sources.web_files import service_for

    # limit the time, because the client libraries of cloud buckets and other servers may wait or
    # repeat requests for ever
    return service_for(address).waits_for(read)


def _too_large(where: str) -> InputError:
    return InputError(
        "image file is too large", where=where, rule=f"hold at most {MAX_BYTES} bytes"
    )


@contextlib.contextmanager
def _told(what: str, where: str, remedy: str | None = None) -> Iterator[None]:
    """Turn errors of a server, or of the library that asks it, into an InputError of one line."""
    with parsing(what, where, remedy=remedy):
        try:
            yield
        except (NoAnswer, Unanswered) as error:
            raise InputError(what, where=where, found=str(error), remedy=remedy) from error


def _allow_member(member: zipfile.ZipInfo, where: str) -> None:
    """Refuse an image in a zip file that is encrypted, too large, or has an unsafe name."""
    reason = zip_fault(member)
    if reason is not None:
        raise InputError(reason, where=where, remedy="pack the archive again without it")


def _below(name: str) -> bool:
    """Return whether a name is below the address; index pages may link to other places too."""
    return bool(name) and ".." not in name.split("/") and "://" not in name


def _system(address: str) -> tuple[Any, str]:
    need("fsspec", extra="remote")
    from fsspec.core import url_to_fs

    if WEB.search(address):
        from gzfeatures.images.sources.web_files import MARK, register

        register()
        address = WEB.sub(lambda scheme: MARK + scheme[0].lower(), address)
    try:
        system, root = url_to_fs(address)
    except ImportError as error:
        raise MissingExtraError(
            "address needs a further package", where=address, remedy=str(error)
        ) from None
    return system, str(root)
