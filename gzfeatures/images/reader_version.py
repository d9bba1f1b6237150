"""Return which version of our decoding code makes an image's pixels; embeddings depend on it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence

from gzfeatures.errors import GzError
from gzfeatures.fits.cards import Cards, cards_of
from gzfeatures.fits.header import BLOCK, GZIP
from gzfeatures.images.decoding.bad_pixels import is_mask
from gzfeatures.images.decoding.bundle import array, unpacked
from gzfeatures.images.decoding.decode_rgb import bits
from gzfeatures.images.decoding.filters import canonical, filter_of, is_weight, wavelength
from gzfeatures.images.decoding.fits_planes import band_names
from gzfeatures.images.decoding.mask_owners import kind_of_mask, owner, unclear
from gzfeatures.images.reading import READING, Reading

VALUES = 2
"""Version of the decoding code; it must be raised if the same bytes give different pixels.

Embeddings that were stored with an earlier version are then computed again."""

SKY = 3
"""Version for FITS of integers, and for FITS with coordinates in the first header only.

In this version areas of zeros are bad pixels in images of integers too. All other FITS files keep
the version `VALUES`, because their pixels did not change."""

CARDS = 4
"""Version for files whose headers and names of bands are understood better than in version `SKY`.

These are images of integers whose BLANK was ignored, files in which a weight or mask was taken for
that of another image, and three bands whose order by wavelength was wrong."""

EARLIER = {
    "F1042M": 10420, "F115LP": 1150, "F122M": 1220, "F125LP": 1250, "F140LP": 1400, "F150LP": 1500,
    "F165LP": 1650, "F170W": 1700, "F185W": 1850, "F200LP": 2000, "F212N": 212, "F215N": 215,
    "F216N": 216, "F222M": 222, "F237M": 237, "F240M": 240, "F300X": 300, "F323N": 323,
    "F350LP": 350, "F380M": 380, "F405N": 405, "F466N": 466, "F470N": 470, "F475X": 475,
    "F600LP": 600, "F850LP": 850,
}  # fmt: skip
"""Wavelengths in nm by which versions before `CARDS` put bands in order, where now others count."""

FITS, ZIP, NPY = b"SIMPLE", b"PK\x03\x04", b"\x93NUMPY"

_INTEGERS = re.compile(
    rb"(?:SIMPLE  =.{71}|XTENSION= 'IMAGE.{64})(?=BITPIX  = *[1-9]).{80}NAXIS   = *[1-9]", re.DOTALL
)
_EMPTY = re.compile(rb"SIMPLE  =.{71}BITPIX  =.{71}NAXIS   = *0 ", re.DOTALL)
_PACKED_INTEGERS = re.compile(rb"ZBITPIX = *[1-9]")


_ONCE_KNOWN = re.compile(r"F\d{3,4}(?:W2|LP|[WMNX])|(?:[ugrizyYJHK]|Ks)[ .'].*", re.IGNORECASE)
"""Pattern of the names that versions before `CARDS` took for those of known filters."""


def version(data: bytes, *, max_pixels: int, reading: Reading = READING) -> int | None:
    """Return which version of our code decodes these bytes; None if all versions agree.

    Parameters
    ----------
    data : bytes
        The file, or the zip of the galaxy's files; for damaged bytes any version may be returned.
    max_pixels : int
        Largest image that is decoded; limits the size of decompressed bytes.
    reading : Reading
        Options for reading the file: names of bands, name of the science image.

    Returns
    -------
    int, optional
        None for pictures of 8 or 16 bits, whose decoding has never changed.

    Examples
    --------
    >>> version(b"\\x89PNG\\r\\n\\x1a\\n", max_pixels=10**6) is None
    True
    >>> version(b"\\x93NUMPY", max_pixels=10**6)
    2
    """
    limit = 16 * max_pixels
    if data.startswith(ZIP):
        try:
            parts = unpacked(data, where="image", max_bytes=limit)
            names = _of_parts(parts, reading)
        except GzError:
            # for damaged bytes any code version will do: decoding refuses them later and says why
            return VALUES
        if _reordered(names):
            return CARDS
        return max((_of_fits(part, limit, reading) for part in parts.values()), default=VALUES)
    if data.startswith((FITS, GZIP)):
        return _of_fits(data, limit, reading)
    if data.startswith(NPY):
        if _reordered(reading.bands or ()):
            return CARDS
        return VALUES if b"'|u1'" not in data[:128] else None
    kind, depth = bits(data) or ("u", 8)
    return VALUES if kind != "u" or depth > 16 else None


def _of_fits(data: bytes, limit: int, reading: Reading) -> int:
    """Return which version decodes a FITS file, plain or gzipped; `VALUES` for other files.

    Headers are searched only at block boundaries. If pixels look like a header by chance, the only
    harm is that embeddings are computed again.
    """
    if data.startswith(GZIP):
        try:
            data = zlib.decompressobj(31).decompress(data, limit)
        except zlib.error:
            return VALUES
    if not data.startswith(FITS):
        return VALUES
    starts = [0] + [
        place for place in range(BLOCK, len(data), BLOCK) if data.startswith(b"XTENSION", place)
    ]
    ends = [*starts[1:], len(data)]
    headers = [cards_of(data, start, end) for start, end in zip(starts, ends, strict=True)]
    before, now = _of_planes(headers)
    if (
        before != now
        or _reordered(reading.bands or now)
        or any(_blank_ignored(cards) or _mask_ignored(cards) for cards in headers)
        or _masks_moved(headers, reading.science)
    ):
        return CARDS
    end = ends[0]
    changed = (
        any(_INTEGERS.match(data, place) for place in starts)
        or _PACKED_INTEGERS.search(data) is not None
        or (_EMPTY.match(data) is not None and b"CTYPE1  =" in data[:end])
    )
    return SKY if changed else VALUES


def _blank_ignored(cards: Cards) -> bool:
    """Return whether an image of integers has a BLANK that versions before `CARDS` ignored.

    It was ignored if it is 0, in unsigned integers and in masks.
    """
    bits = cards.get("ZBITPIX", cards.get("BITPIX"))
    blank = cards.get("BLANK", cards.get("ZBLANK"))
    if bits not in (8, 16, 32, 64) or type(blank) is not int:
        return False
    unsigned = cards.get("BZERO") in (-(2**7), 2**15, 2**31, 2**63)
    return blank == 0 or unsigned or is_mask(_name(cards))


def _mask_ignored(cards: Cards) -> bool:
    """Return whether an image is a mask whose name versions before `CARDS` did not understand."""
    name = _name(cards)
    return _axes(cards) >= 2 and is_mask(name) and not is_mask(re.sub("[. ]", "", name))


def _of_parts(parts: Mapping[str, bytes], reading: Reading) -> Sequence[str]:
    """Return the names of the bands in a zip: those of its files, or those in a .npz file."""
    stored = next((parts[key] for key in ("filters.npy", "bands.npy") if key in parts), None)
    if reading.bands is not None and any(name.endswith(".npy") for name in parts):
        return reading.bands
    if stored is None:
        return sorted(set(parts) - {"picture"})
    return [str(name) for name in array(stored, where="image", max_bytes=2**16).ravel()]


def _of_planes(headers: Sequence[Cards]) -> tuple[list[str], list[str]]:
    """Return the names of a FITS file's bands as versions before `CARDS` read them, and as now."""
    images = [cards for cards in headers if _axes(cards) >= 2 and not is_weight(_name(cards))]
    before: list[str] = []
    now: list[str] = []
    for cards in images:
        # take the axes of a compressed image from its own cards, and at most four planes: no other
        # number than three has an order
        z = "Z" if cards.get("ZIMAGE") == "T" else ""
        depth = cards.get(f"{z}NAXIS3", 1)
        axes: Cards = {"NAXIS": _axes(cards), "NAXIS3": min(depth, 4) if type(depth) is int else 1}
        before += band_names({**_without_pupil(cards), **axes}, _without_pupil(headers[0])) or ()
        now += band_names({**cards, **axes}, headers[0]) or ()
    return before, now


def _reordered(names: Sequence[str]) -> bool:
    """Return whether three bands were drawn in other colours before version `CARDS`.

    Bands that are refused now, because a name is no known filter's any more, count too: otherwise
    their stored embeddings would still be found.
    """
    if len(names) != 3:
        return False
    lengths = [wavelength(name) for name in names]
    if None in lengths:
        return any(
            length is None and _ONCE_KNOWN.fullmatch(name.strip())
            for name, length in zip(names, lengths, strict=True)
        )
    now = [length or 0.0 for length in lengths]
    old = [
        EARLIER.get(canonical(name) or "", length) for name, length in zip(names, now, strict=True)
    ]
    if len(set(old)) < 3:
        return False
    return sorted(range(3), key=old.__getitem__) != sorted(range(3), key=now.__getitem__)


def _masks_moved(headers: Sequence[Cards], science: str | None) -> bool:
    """Return whether a mask of a FITS file marked another image before, or is refused now."""
    units = [(_name(cards), cards) for cards in headers if _axes(cards) >= 2]
    images = [unit for unit in units if not is_weight(unit[0])]
    if len(images) < 2:
        return False
    versions = [cards.get("EXTVER", 1) for _, cards in images]
    before = -1
    marked: dict[str, list[int]] = {}
    guessed: dict[str, list[int]] = {}
    for unit in units:
        if not is_weight(unit[0]) or not is_mask(unit[0]):
            before += not is_weight(unit[0])
            continue
        # find the image by the rules of the earlier versions: EXTVER, else the image before
        own = unit[1].get("EXTVER", 1)
        known = len(set(versions)) == len(versions) and own in versions
        old = versions.index(own) if known else max(before, 0)
        new = owner(unit, images)
        if science is not None or (new is not None and new != old):
            return True
        kind = kind_of_mask(unit[0])
        marked.setdefault(kind, []).append(old)
        if new is None:
            guessed.setdefault(kind, []).append(before)
    return any(unclear(rows, guessed.get(kind, ()), len(images)) for kind, rows in marked.items())


def _name(cards: Cards) -> str:
    """Return the name of a FITS unit (HDU): EXTNAME, or IMAGETYP if this means a weight image."""
    kind = str(cards.get("IMAGETYP", ""))
    return kind if kind and is_weight(kind) else str(cards.get("EXTNAME", ""))


def _axes(cards: Cards) -> int:
    """Return the number of axes of an image, plain or compressed; 0 for tables."""
    compressed = cards.get("ZIMAGE") == "T"
    axes = cards.get("ZNAXIS" if compressed else "NAXIS")
    table = cards.get("XTENSION", "IMAGE") != "IMAGE" and not compressed
    return axes if isinstance(axes, int) and not table else 0


def _without_pupil(cards: Cards) -> Cards:
    """Return a header as versions before `CARDS` read it: FILTER counts before PUPIL."""
    without: Cards = {**cards, "PUPIL": ""}
    return without if filter_of(without) else cards
