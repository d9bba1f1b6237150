"""Check the sizes that FITS headers state against the file's length, before astropy reads them.

A damaged or hostile header may state a size for which astropy would allocate too much memory, or a
negative size, with which it would read the same unit again for ever. So all headers are read here
first, card by card, of plain and of gzipped files. Astropy then gets only the part of the file that
was checked.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gzfeatures.errors import InputError, parsing
from gzfeatures.fits.numbers import Unit, check_table, damaged, data_size

BLOCK, CARD = 2880, 80

MAX_CARDS, MAX_UNITS = 200_000, 10_000
"""Largest number of cards in a header, and of units (HDUs) in a file; more would take too long."""

DEFLATE = 1032
"""Largest number of bytes to which one byte of a gzip file can decompress (zlib's limit)."""

GZIP = b"\x1f\x8b"

_SIZE = re.compile(
    r"(Z?BITPIX|Z?NAXIS\d{0,3}|Z?PCOUNT|Z?GCOUNT|ZTILE\d{1,3}|TFIELDS|THEAP|TBCOL\d{1,3}|"
    r"TFORM\d{1,3}|TDIM\d{1,3}|"
    r"GROUPS|ZIMAGE|ZNAME\d{1,3}|ZVAL\d{1,3}|ZQUANTIZ|ZDITHER0|XTENSION|SIMPLE)"
)
_CARD = re.compile(r"(?:HIERARCH +)?([A-Z0-9_-]{1,8}) *=(.*)", re.IGNORECASE)
_VALUE = re.compile(r" *(?:'((?:[^']|'')*)'|([^/ ]*)) *(?:/.*)?")


@contextmanager
def judged(path: Path, *, what: str = "FITS file") -> Iterator[IO[bytes]]:
    """Open a FITS file, plain or gzipped, after checking the sizes that its headers state.

    Parameters
    ----------
    path : Path
        File; whether it is gzipped is recognised by its content, not by its name.
    what : str
        What the file is ("catalog", …), for error messages.

    Yields
    ------
    binary file
        The uncompressed FITS bytes, from the start to the end of the last checked unit (HDU). A
        gzipped file is decompressed once, to a temporary file.

    Raises
    ------
    InputError
        A header states more data than the file has, or has an impossible number.

    Examples
    --------
    >>> with judged(Path("catalog.fits.gz")) as file:  # doctest: +SKIP
    ...     fits.open(file, memmap=False).info()
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        packed = file.read(2) == GZIP
        file.seek(0)
        if not packed:
            end = require_sizes(file, size, where=path, what=what)
            file.seek(0)
            if end == size:
                yield file
                return
        with tempfile.TemporaryFile() as plain:
            # decompress and check in one pass, and stop at the first wrong header: so a small
            # hostile file cannot fill the disk
            if packed:
                with parsing(f"{what} cannot be read", path, remedy="fetch it again"):
                    require_sizes(
                        gzip.GzipFile(fileobj=file),
                        DEFLATE * size,
                        where=path,
                        what=what,
                        copy=plain,
                    )
            else:
                # copy only the checked part, without the bytes after the last unit (HDU)
                _copy(file, plain, end)
            plain.flush()
            # open the temporary file again, read-only: astropy would refuse a file that is open for
            # writing
            with os.fdopen(os.dup(plain.fileno()), "rb") as read_only:
                read_only.seek(0)
                yield read_only


def judged_bytes(data: bytes, *, where: object, max_pixels: int, what: str = "image") -> bytes:
    """Check the sizes in a plain FITS file's headers; return its bytes to the end of the last HDU.

    Errors are those of `judged`.

    Parameters
    ----------
    data : bytes
        Content of the file, not compressed.
    where : object
        Name of the file, for error messages.
    max_pixels : int
        Largest number of pixels of one image; this is checked before the length of the file.
    what : str
        What the file is ("image", …), for error messages.
    """
    end = require_sizes(io.BytesIO(data), len(data), where=where, what=what, max_pixels=max_pixels)
    return data if end == len(data) else data[:end]


def require_sizes(
    file: IO[bytes] | gzip.GzipFile,
    size: int,
    *,
    where: object,
    what: str = "FITS file",
    max_pixels: int | None = None,
    copy: IO[bytes] | None = None,
) -> int:
    """Check the sizes in all headers of a FITS file; return the length of the checked part.

    Parameters
    ----------
    file : binary file
        Uncompressed FITS bytes; the file is read from its start.
    size : int
        Number of these bytes; for a compressed file, the largest possible number.
    where : object
        Name of the file, for error messages.
    what : str
        What the file is ("FITS file", …), for error messages.
    max_pixels : int, optional
        Largest number of pixels of one image.
    copy : binary file, optional
        File to which all bytes are copied while they are read. Without it, only headers are read,
        and data are skipped.

    Returns
    -------
    int
        Number of bytes from the start to the end of the last unit, with as much of its padding as
        the file has.

    Raises
    ------
    InputError
        See `judged`.
    """
    place = 0
    for unit in range(MAX_UNITS + 1):
        name = Unit(where, unit)
        cards, length = _header(file, name, what, copy)
        if cards is None:
            return place
        if unit == MAX_UNITS:
            break
        place += length
        needed = data_size(cards, name, max_pixels)
        # refuse a unit (HDU) that is longer than the rest of the file: astropy would allocate
        # memory of the size that its header states
        if place + needed > size:
            raise _truncated(what, where, place + needed, size)
        check_table(cards, name)
        # FITS pads the data of a unit to whole blocks of 2880 bytes (FITS standard, section 3.1)
        padded = -(-needed // BLOCK) * BLOCK
        passed = _skip_data(file, padded, size - place, copy)
        if passed < needed:
            raise _truncated(what, where, place + needed, place + passed)
        place += passed
    raise InputError(f"{what} has too many units", where=where, rule=f"have at most {MAX_UNITS}")


def _truncated(what: str, where: object, needed: int, found: int) -> InputError:
    return InputError(
        f"{what} is truncated",
        where=where,
        rule=f"hold {needed} bytes",
        found=found,
        remedy="its header asks for them; fetch it again",
    )


def _header(
    file: IO[bytes] | gzip.GzipFile, where: Unit, what: str, copy: IO[bytes] | None
) -> tuple[dict[str, str] | None, int]:
    """Return the size keywords in a FITS header, and its length; None if no header begins here.

    If two cards have the same keyword and different values, programs differ in which card they use,
    so such a header is refused.
    """
    cards: dict[str, str] = {}
    start, length = b"SIMPLE  " if where.number == 0 else b"XTENSION", 0
    while True:
        block = file.read(BLOCK)
        if length == 0 and not block.startswith(start):
            if where.number == 0:
                raise InputError(
                    f"{what} cannot be read",
                    where=where.source,
                    rule="begin as FITS does",
                    found=block[:12],
                )
            return None, 0
        if len(block) < BLOCK:
            raise damaged(where, "end its header with END", f"{length + len(block)} bytes without")
        length += BLOCK
        if copy is not None:
            copy.write(block)
        # a header is a list of 80-character cards that ends with END (FITS standard, section 4.1)
        for place in range(0, BLOCK, CARD):
            card = block[place : place + CARD].decode("ascii", "replace")
            if re.match(r"END(?![A-Z0-9_-])", card):
                if card.strip() != "END":
                    raise damaged(where, "have a blank END card", card.strip())
                return cards, length
            match = _CARD.match(card)
            # skip keywords that state no size: their values may be any text, and are not checked
            if match is None or not _SIZE.fullmatch(key := match[1].upper()):
                continue
            value = _VALUE.fullmatch(match[2].rstrip())
            text = "" if value is None else (value[1] if value[1] is not None else value[2])
            if cards.setdefault(key, text.rstrip()) != text.rstrip():
                raise damaged(where, f"state {key} once", f"{cards[key]} and {text.rstrip()}")
        if length > MAX_CARDS * CARD:
            raise damaged(where, f"have at most {MAX_CARDS} cards in a header", length // CARD)


def _skip_data(
    file: IO[bytes] | gzip.GzipFile, length: int, left: int, copy: IO[bytes] | None
) -> int:
    """Skip `length` bytes of a file, or copy them to `copy`; return how many bytes the file had."""
    if copy is None:
        length = min(length, left)
        file.seek(length, io.SEEK_CUR)
        return length
    return _copy(file, copy, length)


def _copy(source: IO[bytes] | gzip.GzipFile, target: IO[bytes], length: int) -> int:
    """Copy up to `length` bytes from one file to another; return the number of copied bytes."""
    done = 0
    while done < length:
        block = source.read(min(2**20, length - done))
        if not block:
            break
        target.write(block)
        done += len(block)
    return done
