"""List web folders by their index pages, and read their files within limits, for fsspec.

fsspec's own reader of web addresses follows redirects from https to http, reads answers of any
length whole, and waits for them without end. This one asks as cut-outs are asked: `polite_http`.
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
"""Beginning of the scheme by which fsspec finds this reader, and not its own."""
PICTURE_BYTES = 2**28
"""Longest picture: 64 million pixels of four bytes, uncompressed."""
INDEX_BYTES = 2**26
"""Longest index page, about 600,000 links."""
MOST_PAGES, DEEPEST, MOST_FILES = 10_000, 32, 10_000_000
"""Most index pages of one folder, deepest of them, and most files on all."""
BLOCK = 2**20
"""Bytes of a file in place that are fetched at a time."""
LARGEST_PART = 2**29
"""Most bytes of a file in place that are asked for at once, such as a zip file's directory."""

PICTURE = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ARRAY = (b"SIMPLE", b"\x93NUMPY", b"PK\3\4", b"\x1f\x8b")
"""First bytes of pictures, and of FITS files, arrays and what is packed by gzip."""

# Each alternative ends at the next quote, so that a page without closing quotes costs no more.
LINK = re.compile(r"""\bhref\s*=\s*(?:"([^"]{1,4096})"|'([^']{1,4096})')""", re.IGNORECASE)
PART_OF = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class WebFiles(AbstractFileSystem):  # type: ignore[misc]
    """Files of web servers, for fsspec: read only, no directory but an index page."""

    protocol = (MARK + "http", MARK + "https")
    cachable = True

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        # A web folder's closing slash belongs to its address: links are relative to it.
        return str(path).removeprefix(MARK)

    def ls(self, path: str, detail: bool = True, **_: object) -> list[Any]:
        """Return the files below a page and its folders' pages."""
        found = list(self.find(path, detail=True).values())
        return found if detail else [entry["name"] for entry in found]

    def find(self, path: str, *_: object, detail: bool = False, **__: object) -> Any:
        """Return the files that a page and the pages below it link to, by address.

        Raises
        ------
        NoAnswer
            A page cannot be had, is none, or there are too many.
        """
        entries = {
            url: {"name": url, "size": None, "type": "file", "relative": relative}
            for url, relative in _files_below(self._strip_protocol(path))
        }
        return entries if detail else sorted(entries)

    def info(self, path: str, **_: object) -> dict[str, Any]:
        """Return the address of a file; its size is not asked for."""
        url = self._strip_protocol(path)
        return {"name": url, "size": None, "type": "directory" if url.endswith("/") else "file"}

    def isdir(self, path: str) -> bool:
        """Return False: what is read are files."""
        return False

    def cat_file(self, path: str, *_: object, **__: object) -> bytes:
        """Return the bytes of an image, whole.

        Raises
        ------
        NoAnswer
            The server has none, or what it sends is no image or too long.
        """
        url = self._strip_protocol(path)
        service = _service(url)
        return service.ask(lambda: service.answer(url, limit=longest_image)).body

    def get_file(self, rpath: str, lpath: str, **_: object) -> None:
        """Write an image to a file of this machine, for the caches of fsspec."""
        Path(lpath).write_bytes(self.cat_file(rpath))

    def _open(self, path: str, mode: str = "rb", **_: object) -> io.BufferedReader:
        """Open a file in place; its parts are fetched where they are read."""
        if mode != "rb":
            raise NoAnswer("web files are only read")
        return io.BufferedReader(_InPlace(self._strip_protocol(path)), BLOCK)


class _InPlace(io.RawIOBase):
    """A file on a server, read by its parts.

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
        """Move to a place in the file; nothing is fetched."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, begin + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fetch the next bytes into a buffer."""
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
"""By process, for a forked one must not share connections, and server: one that is down, or asks
to wait, holds up no other."""


def _service(url: str, *, anew: bool = False) -> Service:
    """Return the service that asks the server of an address; `anew` forgets that it was down."""
    parts = urlsplit(url)
    key = os.getpid(), f"{parts.scheme}://{parts.netloc}"
    if anew or key not in _services:
        _services[key] = Service(workers=(os.cpu_count() or 1) + 4)
    return _services[key]


def register() -> None:
    """Make this reader known to fsspec under its own schemes; fsspec's own stays as it is."""
    for scheme in WebFiles.protocol:
        fsspec.register_implementation(scheme, WebFiles, clobber=True)


def longest_image(answer: WebAnswer) -> int:
    """Return how long an answer may be, by what it begins with.

    Raises
    ------
    NoAnswer
        It begins like no image: an error page, a program.
    """
    if answer.body.startswith(PICTURE):
        return PICTURE_BYTES
    if answer.body.startswith(ARRAY):
        return MAX_BYTES
    raise NoAnswer(f"answer is no image, it begins with {answer.body[:16]!r}")


def _longest_page(answer: WebAnswer) -> int:
    """Return how long an index page may be; refuse what is none."""
    kind = answer.headers.get("Content-Type", "text/html").partition(";")[0].strip().lower()
    if kind not in ("text/html", "application/xhtml+xml"):
        raise NoAnswer(f"answer is no index page, but {kind}")
    return INDEX_BYTES


def _part(url: str, first: int, end: int) -> tuple[bytes, int]:
    """Return the bytes of a file from `first` up to `end`, and the file's length."""
    service = _service(url)
    asked = {"Range": f"bytes={first}-{end - 1}", "Accept-Encoding": "identity"}
    answer = service.ask(lambda: service.answer(url, headers=asked, limit=lambda _: end - first))
    match = PART_OF.fullmatch(answer.headers.get("Content-Range", "").strip())
    if match is None or int(match[1]) != first or len(answer.body) != int(match[2]) + 1 - first:
        raise NoAnswer("answer is not the part of the file that was asked for")
    return answer.body, int(match[3])


def _files_below(address: str) -> Iterator[tuple[str, str]]:
    """Yield address and relative name of the files that the pages of a folder link to."""
    service = _service(address, anew=True)
    answer = _first_page(service, address)
    # The folder is where the first page lies, after all redirects.
    root = answer.url if answer.url.endswith("/") else answer.url + "/"
    pages, seen = [answer.url], {answer.url}
    while pages:
        page = pages.pop()
        if page != answer.url:
            answer = _page(service, page)
        for url in sorted(_links(answer, root) - seen):
            relative = url[len(root) :]
            # Folders that link to themselves under ever new names have no end.
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
    """Return the page of a folder: with a closing slash, which a Path loses, else without."""
    if not address.endswith("/"):
        with contextlib.suppress(NoAnswer):
            return _page(service, address + "/")
    return _page(service, address)


def _page(service: Service, address: str) -> WebAnswer:
    """Return an index page."""
    return service.ask(lambda: service.answer(address, limit=_longest_page))


def _links(answer: WebAnswer, root: str) -> set[str]:
    """Return the addresses below `root` that a page links to, without queries."""
    found = set()
    for match in LINK.finditer(answer.body.decode("utf-8", errors="replace")):
        link = urldefrag(html.unescape(match[1] or match[2]).strip()).url
        # Against the page as it is; one without a closing slash may mean itself as the folder.
        for base in dict.fromkeys((answer.url, answer.url.rstrip("/") + "/")):
            try:
                url = urljoin(base, link)
            except ValueError:  # brackets that are no IPv6 address
                break
            if url.startswith(root) and url != root and "?" not in url:
                found.add(url)
                break
    return found


def _name(relative: str) -> str:
    """Return the name that a link's address stands for; as it stands where it is no UTF-8."""
    try:
        return unquote(relative, errors="strict")
    except UnicodeDecodeError:
        return relative
