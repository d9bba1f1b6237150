"""Check that the sizes in one FITS header agree with each other and stay below a limit.

FITS standard 4.0 (doi:10.1051/0004-6361/201015362), sections 4.4 (units), 7.2 and 7.3 (tables),
10.1 (tiled images).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from gzfeatures.errors import InputError

_BINARY = re.compile(r" *(\d*)([LXBIJKAEDCMPQ])(.*)")
_ASCII = re.compile(r" *[AIFED](\d+)(?:\.\d+)? *")
_ARRAY = re.compile(r"([LXBIJKAEDCM])(?:\((\d+)\))?.*")
_BYTES = {
    "L": 1,
    "B": 1,
    "I": 2,
    "J": 4,
    "K": 8,
    "A": 1,
    "E": 4,
    "D": 8,
    "C": 8,
    "M": 16,
    "P": 8,
    "Q": 16,
}

_LARGEST = {"BLOCKSIZE": 2**15, "BYTEPIX": 8, "SMOOTH": 1}
"""Setting of a FITS decompressor → its largest legal value."""
SMALL, SPARSE = 4_000_000, 1_000
"""A compressed image may have `SMALL` pixels, or more if it has at most `SPARSE` pixels per byte.
Blank sky has about 100 pixels per byte in RICE and GZIP, and no survey image is blank everywhere.
"""


class Unit(NamedTuple):
    """Store the name of a FITS file and the number of one of its units (HDUs), for errors."""

    source: object
    number: int


def damaged(where: Unit, rule: str, found: object) -> InputError:
    """Return, without raising it, the error for a damaged FITS header."""
    what = f"FITS file is damaged in unit {where.number}"
    return InputError(what, where=where.source, rule=rule, found=found, remedy="fetch it again")


def _number(
    cards: Mapping[str, str], key: str, where: Unit, least: int = 0, default: int | None = None
) -> int:
    """Return an integer from a FITS header; refuse a missing value, or a value below `least`."""
    text = cards.get(key)
    if text is None and default is not None:
        return default
    if text is None or not re.fullmatch(r"[+-]?\d{1,18}", text) or int(text) < least:
        raise damaged(where, f"state {key} as a whole number of at least {least}", text or "none")
    return int(text)


def _shape(cards: Mapping[str, str], prefix: str, where: Unit) -> list[int]:
    """Return the axis lengths in a FITS header (NAXISn or ZNAXISn); refuse an illegal BITPIX."""
    bits = _number(cards, f"{prefix}BITPIX", where, -64)
    if bits not in (8, 16, 32, 64, -32, -64):
        raise damaged(where, f"state {prefix}BITPIX as 8, 16, 32, 64, -32 or -64", bits)
    axes = _number(cards, f"{prefix}NAXIS", where)
    if axes > 999:
        raise damaged(where, f"have at most 999 axes in {prefix}NAXIS", axes)
    return [_number(cards, f"{prefix}NAXIS{axis}", where) for axis in range(1, axes + 1)]


def data_size(cards: Mapping[str, str], where: Unit, max_pixels: int | None) -> int:
    """Return the size in bytes of a FITS unit's data (FITS standard, equations 1, 2 and 4).

    Python's integers have any number of digits, so the size is exact even for absurd headers.

    Parameters
    ----------
    cards : mapping of str to str
        Keyword → value as text, for the header's cards that state sizes.
    where : Unit
        File and number of the unit, for error messages.
    max_pixels : int, optional
        Largest number of pixels of an image, compressed or not, and of one of its tiles.

    Raises
    ------
    InputError
        A number is missing or impossible, or the image has more than `max_pixels` pixels.
    """
    shape = _shape(cards, "", where)
    # NAXIS1 = 0 may mark the format "random groups" (FITS standard, section 6) and is then no
    # length: leave it out of the product
    groups = bool(shape) and shape[0] == 0 and cards.get("GROUPS") == "T" and "SIMPLE" in cards
    elements = math.prod(shape[1:] if groups else shape) if shape else 0
    pcount = _number(cards, "PCOUNT", where, default=0)
    gcount = _number(cards, "GCOUNT", where, 1, default=1)
    if gcount > 1 and not groups:
        raise damaged(where, "have GCOUNT 1", gcount)
    # refuse more than 999 parameters of random groups: astropy makes a table column for each
    # parameter, and these columns would fill the memory
    if groups and pcount > 999:
        raise damaged(where, "have at most 999 parameters in random groups", pcount)
    if cards.get("ZIMAGE") == "T":
        _check_tiles(cards, where, max_pixels)
    elif cards.get("XTENSION", "IMAGE") == "IMAGE":
        _require_small(shape, where, max_pixels)
    # number of data bytes by equation 2 of the FITS standard. With GCOUNT = 1 and PCOUNT = 0 it is
    # equation 1 (plain images); without the first axis it is equation 4 (random groups)
    return abs(int(cards["BITPIX"])) // 8 * gcount * (pcount + elements) if shape else 0


def _require_small(shape: list[int], where: Unit, max_pixels: int | None) -> None:
    if max_pixels is not None and shape and math.prod(shape) > max_pixels:
        raise InputError(
            "image is too large to decode",
            where=where.source,
            rule=f"hold at most {max_pixels:,} pixels",
            found=tuple(shape[::-1]),
        )


def _check_tiles(cards: Mapping[str, str], where: Unit, max_pixels: int | None) -> None:
    """Require one table row for each tile of a compressed image (FITS standard, section 10.1)."""
    shape = _shape(cards, "Z", where)
    if not shape:
        raise damaged(where, "have axes in ZNAXIS", 0)
    _require_small(shape, where, max_pixels)
    pictures = [
        _number(cards, f"ZTILE{axis + 1}", where, 1, default=max(length, 1) if axis == 0 else 1)
        for axis, length in enumerate(shape)
    ]
    _require_small(pictures, where, max_pixels)
    count = math.prod(
        -(-length // picture) for length, picture in zip(shape, pictures, strict=True)
    )
    if _number(cards, "NAXIS2", where) != count:
        raise damaged(where, f"have a row for each of {count} tiles", cards["NAXIS2"])
    stored = int(cards["NAXIS1"]) * count + _number(cards, "PCOUNT", where, default=0)
    most = max(SMALL, SPARSE * stored)
    if max_pixels is not None and math.prod(shape) > most:
        raise InputError(
            "compressed image holds almost no data",
            where=where.source,
            rule=f"have at most {most:,} pixels in {stored:,} bytes",
            found=f"{math.prod(shape):,}",
            remedy="fetch it again",
        )
    _check_settings(cards, where)


def _check_settings(cards: Mapping[str, str], where: Unit) -> None:
    """Require legal compression settings in a FITS header (FITS standard, sections 10.2 and 10.4).

    Decompressors compute sizes and positions from the settings without checking them.
    """
    for key, name in cards.items():
        most = _LARGEST.get(name.strip().upper()) if key.startswith("ZNAME") else None
        if most is None:
            continue
        value = cards.get(f"ZVAL{key[5:]}", "none")
        if not re.fullmatch(r"\d{1,9}(\.0*)?", value) or float(value) > most:
            raise damaged(where, f"state {name.strip()} as a number from 0 to {most}", value)
    if not cards.get("ZQUANTIZ", "").startswith("SUBTRACTIVE_DITHER"):
        return
    # require a seed of the dither from 1 to 10,000: decompressors use it as an index into a table
    # of 10,000 random numbers, without checking it
    seed = cards.get("ZDITHER0", "none")
    if not re.fullmatch(r"\d{1,9}", seed) or not 1 <= int(seed) <= 10_000:
        raise damaged(where, "state ZDITHER0 as a whole number from 1 to 10000", seed)


def check_table(cards: Mapping[str, str], where: Unit) -> None:
    """Require that a FITS table's columns fill its rows exactly and that its heap follows the rows.

    Parameters
    ----------
    cards, where
        As in `data_size`, which must be called before. Units that are no tables are not checked.

    Raises
    ------
    InputError
        The columns do not fill the rows, or the heap does not follow them.
    """
    kind = cards.get("XTENSION")
    if kind not in ("BINTABLE", "A3DTABLE", "TABLE"):
        return
    if cards.get("BITPIX") != "8" or cards.get("NAXIS") != "2":
        raise damaged(
            where, "have BITPIX 8 and two axes in a table", f"{cards['BITPIX']}, {cards['NAXIS']}"
        )
    row, rows = int(cards["NAXIS1"]), int(cards["NAXIS2"])
    if rows and not row:
        raise damaged(where, "have bytes in its rows, by NAXIS1", f"{rows} rows of none")
    fields = _number(cards, "TFIELDS", where)
    if fields > 999:
        raise damaged(where, "have at most 999 columns in TFIELDS", fields)
    # the heap follows the rows and contains arrays of variable length (FITS standard, section
    # 7.3.5); THEAP states where it begins
    heap = _number(cards, "PCOUNT", where, default=0)
    begin = _number(cards, "THEAP", where, default=row * rows)
    if not row * rows <= begin <= row * rows + heap:
        raise damaged(where, f"have its heap in {row * rows}…{row * rows + heap} by THEAP", begin)
    if kind == "TABLE":
        for field in range(1, fields + 1):
            _check_text_column(cards, field, row, where)
        return
    width = sum(_width(cards, field, heap, where) for field in range(1, fields + 1))
    if width != row:
        raise damaged(where, f"have columns of {row} bytes in each row, as NAXIS1 says", width)


def _width(cards: Mapping[str, str], field: int, heap: int, where: Unit) -> int:
    """Return a FITS column's width in bytes; check its array shape (TDIM) and heap array length."""
    form = cards.get(f"TFORM{field}", "")
    match = _BINARY.fullmatch(form)
    if match is None or len(match[1]) > 18:
        raise damaged(where, f"state TFORM{field} as a repeat count and a letter", form or "none")
    repeat, letter = int(match[1] or 1), match[2]
    if letter == "X":
        return -(-repeat // 8)
    if letter in "PQ":
        array = _ARRAY.fullmatch(match[3])
        if array is None or repeat > 1:
            raise damaged(where, f"state TFORM{field} as at most one array of a type", form)
        longest = int(array[2] or 0)
        if longest * _BYTES.get(array[1], 1) // (8 if array[1] == "X" else 1) > heap:
            raise damaged(where, f"have the arrays of TFORM{field} in a heap of {heap} bytes", form)
        return repeat * _BYTES[letter]
    sides = re.fullmatch(r" *\(([\d, ]+)\) *", cards.get(f"TDIM{field}", ""))
    if (
        sides is not None
        and math.prod(int(side) for side in sides[1].split(",") if side.strip()) > repeat
    ):
        raise damaged(where, f"have at most {repeat} values in TDIM{field}", cards[f"TDIM{field}"])
    return repeat * _BYTES[letter]


def _check_text_column(cards: Mapping[str, str], field: int, row: int, where: Unit) -> None:
    form = cards.get(f"TFORM{field}", "")
    match = _ASCII.fullmatch(form)
    if match is None or len(match[1]) > 18:
        raise damaged(where, f"state TFORM{field} as a letter and a width", form or "none")
    first = _number(cards, f"TBCOL{field}", where, 1)
    if first - 1 + int(match[1]) > row:
        raise damaged(where, f"have column {field} within {row} characters", f"{form} from {first}")
