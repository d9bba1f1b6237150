"""Return which version of our decoding code makes an image's pixels; embeddings depend on it."""

from __future__ import annotations

import re
import zlib

from gzfeatures.errors import GzError
from gzfeatures.fits.header import BLOCK, GZIP
from gzfeatures.images.decoding.bundle import unpacked
from gzfeatures.images.decoding.decode_rgb import bits

VALUES = 2
"""Version of the reading code; raise it if the same bytes give other pixels than before.

Vectors that are stored under the earlier version are then computed again."""

SKY = 3
"""Version for FITS of integers, and for FITS with coordinates in the first header only.

Zeros that fill an area of integers are bad, as in floats. Other FITS keeps the version `VALUES`,
since its pixels are what they were."""

FITS, ZIP, NPY = b"SIMPLE", b"PK\x03\x04", b"\x93NUMPY"

_INTEGERS = re.compile(
    rb"(?:SIMPLE  =.{71}|XTENSION= 'IMAGE.{64})(?=BITPIX  = *[1-9]).{80}NAXIS   = *[1-9]", re.DOTALL
)
_EMPTY = re.compile(rb"SIMPLE  =.{71}BITPIX  =.{71}NAXIS   = *0 ", re.DOTALL)
_PACKED_INTEGERS = re.compile(rb"ZBITPIX = *[1-9]")


def version(data: bytes, *, max_pixels: int) -> int | None:
    """Return which version of our code decodes these bytes; None for pictures of 8 or 16 bits.

    Parameters
    ----------
    data : bytes
        The file, or the bundle of the galaxy's several files; never believed: of damaged bytes it
        says something too.
    max_pixels : int
        Largest image that is decoded; bounds what is unpacked.

    Returns
    -------
    int, optional
        None for pictures of 8 or 16 bits, which are read as they have always been.

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
            parts = unpacked(data, where="image", max_bytes=limit).values()
        except GzError:
            # damaged bytes may get any version, because decoding refuses them later, with a reason
            return VALUES
        return SKY if any(_changed(part, limit) for part in parts) else VALUES
    if data.startswith((FITS, GZIP)):
        return SKY if _changed(data, limit) else VALUES
    if data.startswith(NPY):
        return VALUES if b"'|u1'" not in data[:128] else None
    kind, depth = bits(data) or ("u", 8)
    return VALUES if kind != "u" or depth > 16 else None


def _changed(data: bytes, limit: int) -> bool:
    """Return whether bytes are FITS that new code decodes to other pixels than older code.

    These are integers, or a sky in a first header without pixels, plain or gzipped.

    A header begins where a block does, so a mark amid pixels counts at most by chance, and then
    costs a computation.
    """
    if data.startswith(GZIP):
        try:
            data = zlib.decompressobj(31).decompress(data, limit)
        except zlib.error:
            return False
    if not data.startswith(FITS):
        return False
    starts = [0] + [
        place for place in range(BLOCK, len(data), BLOCK) if data.startswith(b"XTENSION", place)
    ]
    if (
        any(_INTEGERS.match(data, place) for place in starts)
        or _PACKED_INTEGERS.search(data) is not None
    ):
        return True
    end = starts[1] if len(starts) > 1 else len(data)
    return _EMPTY.match(data) is not None and b"CTYPE1  =" in data[:end]
