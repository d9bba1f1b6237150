"""List and read files of web folders for the library fsspec, with limits on size and time.

fsspec's own reader of web addresses follows redirects from https to http, reads answers of any
length, and waits for them without limit. The reader in this module sends its requests by
`polite_http`, like requests for cutouts, with limits.
"""

from __future__ import annotations

import contextlib
import html
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import fsspec
from fsspec.spec import AbstractFileSystem

from gzfeatures.images.sources.arrays import MAX_BYTES
from gzfeatures.web.outcomes import NoAnswer
from gzfeatures.web.polite_http import Service, WebAnswer

MARK = "gzfeatures+"
"""Beginning of the URL scheme that makes fsspec use this reader instead of its own."""
PICTURE_BYTES = 2**28
"""Largest size of a picture: 64 million uncompressed pixels of four bytes."""
INDEX_BYTES = 2**26
"""Largest size of an index page, with about 600,000 links."""
MOST_PAGES, DEEPEST, MOST_FILES = 10_000, 32, 10_000_000
"""Largest number of index pages of a folder, of levels below it, and of files on all pages."""
BLOCK = 2**20
"""Number of bytes that are fetched together from a file on a server."""
LARGEST_PART = 2**29
"""Largest number of bytes in one request to a file on a server, such as a zip directory."""

PICTURE = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ARRAY = (b"SIMPLE", b"\x93NUMPY", b"PK\3\4", b"\x1f\x8b")
"""First bytes of pictures, and of FITS files, NumPy arrays, and zip and gzip archives."""

# limit an address to 4,096 characters: otherwise, if a closing quote is missing, the search would
# read the rest of the page again for each link
LINK = re.compile(r"""\bhref\s*=\s*(?:"([^"]{1,4096})"|'([^']{1,4096})')""", re.IGNORECASE)
PART_OF = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class WebFiles(AbstractFileSystem):  # type: ignore[misc]
    """Let the library fsspec read files of web servers; index pages serve as folders."""

    protocol = (MARK + "http", MARK + "https")
    cachable = True

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        # keep the closing slash of a web folder, because links are relative to it
        return str(path).removeprefix(MARK)

    def ls(self, path: str, detail: bool = True, **_: object) -> list[Any]:
        """Return the files of a web folder and its subfolders, found by links on index pages."""
        found = list(self.find(path, detail=True).values())
        return found if detail else [entry["name"] for entry in found]

    def find(self, path: str, *_: object, detail: bool = False, **__: object) -> Any:
        """Return the files of a web folder and its subfolders, by web address.

        Raises
        ------
        NoAnswer
            An index page cannot be downloaded, is no web page, or there are too many pages.
        """
        entries = {
            url: {"name": url, "size": None, "type": "file", "relative": relative}
            for url, relative in _files_below(self._strip_protocol(path))
        }
        return entries if detail else sorted(entries)

    def info(self, path: str, **_: object) -> dict[str, Any]:
        """Return name (address) and type of a file on a web server; do not ask for its size."""
        url = self._strip_protocol(path)
        return {"name": url, "size": None, "type": "directory" if url.endswith("/") else "file"}

    def isdir(self, path: str) -> bool:
        """Return False for every address: web servers have files only, no folders."""
        return False

    def cat_file(self, path: str, *_: object, **__: object) -> bytes:
        """Return all bytes of an image on a web server.

        Raises
        ------
        NoAnswer
            The server has no such file, or its answer is no image, or too long.
        """
        url = self._strip_protocol(path)
        service = service_for(url)
        return service.ask(lambda: service.answer(url, limit=longest_image)).body

    def get_file(self, rpath: str, lpath: str, **_: object) -> None:
        """Copy an image from a web server to a local file; fsspec's caches use this."""
        Path(lpath).write_bytes(self.cat_file(rpath))

    def _open(self, path: str, mode: str = "rb", **_: object) -> io.BufferedReader:
        """Open a file on a web server for reading; only the parts that are read are fetched."""
        if mode != "rb":
            raise NoAnswer("web files are only read")
        return io.BufferedReader(_InPlace(self._strip_protocol(path)), BLOCK)


class _InPlace(io.RawIOBase):
    """Read a file on a web server in parts, each by its own request.

    Parameters
    ----------
    url : str
    """

    def __init__(self, url: str) -> None:
        self._url, self._at = url, 0
        self._size = _part(url, 0, 1)[1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position of the next read; nothing is fetched from the web server."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, begin + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fetch the next bytes of the file from the web server into a buffer."""
        wanted = min(len(buffer), self._size - self._at)
        if wanted > LARGEST_PART:
            raise NoAnswer(f"a part of {wanted} bytes is longer than {LARGEST_PART}")
        if wanted <= 0:
            return 0
        part = _part(self._url, self._at, self._at + wanted)[0]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


_services: dict[tuple[int, str], Service] = {}
"""Services that ask web servers, one for each process and server.

Processes must not share connections, and a server that is down must not delay another."""


def service_for(url: str, *, anew: bool = False) -> Service:
    """Return the connections to the server of an address; with `anew`, forget earlier failures."""
    parts = urlsplit(url)
    key = os.getpid(), f"{parts.scheme}://{parts.netloc}"
    if anew or key not in _services:
        _services[key] = Service(workers=(os.cpu_count() or 1) + 4)
    return _services[key]


def register() -> None:
    """Tell fsspec to use `WebFiles` for addresses that begin with `gzfeatures+http`."""
    for scheme in WebFiles.protocol:
        fsspec.register_implementation(scheme, WebFiles, clobber=True)


def longest_image(answer: WebAnswer) -> int:
    """Return the size limit of an image from the web, for its file type (seen in its first bytes).

    Raises
    ------
    NoAnswer
        The first bytes are not those of an image, but of an error page, for example.
    """
    if answer.body.startswith(PICTURE):
        return PICTURE_BYTES
    if answer.body.startswith(ARRAY):
        return MAX_BYTES
    raise NoAnswer(f"answer is no image, it begins with {answer.body[:16]!r}")


def _longest_page(answer: WebAnswer) -> int:
    """Return the most bytes that an index page may have; refuse an answer that is no web page."""
    kind = answer.headers.get("Content-Type", "text/html").partition(";")[0].strip().lower()
    if kind not in ("text/html", "application/xhtml+xml"):
        raise NoAnswer(f"answer is no index page, but {kind}")
    return INDEX_BYTES


def _part(url: str, first: int, end: int) -> tuple[bytes, int]:
    """Return the bytes of a web file from `first` up to `end`, and the file's whole length."""
    service = service_for(url)
    asked = {"Range": f"bytes={first}-{end - 1}", "Accept-Encoding": "identity"}
    answer = service.ask(lambda: service.answer(url, headers=asked, limit=lambda _: end - first))
    match = PART_OF.fullmatch(answer.headers.get("Content-Range", "").strip())
    if match is None or int(match[1]) != first or len(answer.body) != int(match[2]) + 1 - first:
        raise NoAnswer("answer is not the part of the file that was asked for")
    return answer.body, int(match[3])


def _files_below(address: str) -> Iterator[tuple[str, str]]:
    """Yield address and relative name of each file that a web folder's index pages link to."""
    service = service_for(address, anew=True)
    answer = _first_page(service, address)
    # use the address of the first page, after all redirects, as the folder, because links are
    # relative to this address
    root = answer.url if answer.url.endswith("/") else answer.url + "/"
    pages, seen = [answer.url], {answer.url}
    while pages:
        page = pages.pop()
        if page != answer.url:
            answer = _page(service, page)
        for url in sorted(_links(answer, root) - seen):
            relative = url[len(root) :]
            # limit the depth, because a folder that links to itself under new names would never end
            if relative.count("/") > DEEPEST:
                raise NoAnswer(f"folders lie more than {DEEPEST} deep")
            seen.add(url)
            if url.endswith("/"):
                pages.append(url)
            else:
                yield url, _name(relative)
        if len(seen) > MOST_FILES or len(pages) > MOST_PAGES:
            raise NoAnswer(f"more than {MOST_FILES} files or {MOST_PAGES} pages")


def _first_page(service: Service, address: str) -> WebAnswer:
    """Return the index page of a web folder; try the address with a closing slash first."""
    if not address.endswith("/"):
        with contextlib.suppress(NoAnswer):
            return _page(service, address + "/")
    return _page(service, address)


def _page(service: Service, address: str) -> WebAnswer:
    """Return the index page that a web server sends for an address."""
    return service.ask(lambda: service.answer(address, limit=_longest_page))


def _links(answer: WebAnswer, root: str) -> set[str]:
    """Return the addresses below `root` to which a web page links, without those with a query."""
    found = set()
    for match in LINK.finditer(answer.body.decode("utf-8", errors="replace")):
        link = urldefrag(html.unescape(match[1] or match[2]).strip()).url
        # try both bases: links on a page without a closing slash may be relative to the page or to
        # its parent folder
        for base in dict.fromkeys((answer.url, answer.url.rstrip("/") + "/")):
            try:
                url = urljoin(base, link)
            # urljoin raises ValueError for square brackets around anything but an IPv6 address, so
            # skip such a link
            except ValueError:
                break
            if url.startswith(root) and url != root and "?" not in url:
                found.add(url)
                break
    return found


def _name(relative: str) -> str:
    """Decode the percent signs of a link to a file name; leave it unchanged if not UTF-8."""
    try:
        return unquote(relative, errors="strict")
    except UnicodeDecodeError:
        return relative
