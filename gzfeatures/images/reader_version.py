"""Return which version of our decoding code makes an image's pixels; embeddings depend on it."""

from __future__ import annotations

import re
import zlib

from gzfeatures.errors import GzError
from gzfeatures.fits.header import BLOCK, GZIP
from gzfeatures.images.decoding.bundle import unpacked
from gzfeatures.images.decoding.decode_rgb import bits

VALUES = 2
"""Version of the decoding code; it must be raised if the same bytes give different pixels.

Embeddings that were stored with an earlier version are then computed again."""

SKY = 3
"""Version for FITS of integers, and for FITS with coordinates in the first header only.

In this version areas of zeros are bad pixels in images of integers too. All other FITS files keep
the version `VALUES`, because their pixels did not change."""

FITS, ZIP, NPY = b"SIMPLE", b"PK\x03\x04", b"\x93NUMPY"

_INTEGERS = re.compile(
    rb"(?:SIMPLE  =.{71}|XTENSION= 'IMAGE.{64})(?=BITPIX  = *[1-9]).{80}NAXIS   = *[1-9]", re.DOTALL
)
_EMPTY = re.compile(rb"SIMPLE  =.{71}BITPIX  =.{71}NAXIS   = *0 ", re.DOTALL)
_PACKED_INTEGERS = re.compile(rb"ZBITPIX = *[1-9]")


def version(data: bytes, *, max_pixels: int) -> int | None:
    """Return which version of our code decodes these bytes; None if all versions agree.

    Parameters
    ----------
    data : bytes
        The file, or the zip of the galaxy's files; for damaged bytes any version may be returned.
    max_pixels : int
        Largest image that is decoded; limits the size of decompressed bytes.

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
            parts = unpacked(data, where="image", max_bytes=limit).values()
        except GzError:
            # for damaged bytes any code version will do: decoding refuses them later and says why
            return VALUES
        return SKY if any(_changed(part, limit) for part in parts) else VALUES
    if data.startswith((FITS, GZIP)):
        return SKY if _changed(data, limit) else VALUES
    if data.startswith(NPY):
        return VALUES if b"'|u1'" not in data[:128] else None
    kind, depth = bits(data) or ("u", 8)
    return VALUES if kind != "u" or depth > 16 else None


def _changed(data: bytes, limit: int) -> bool:
    """Return whether bytes are a FITS file whose decoded pixels changed in version `SKY`.

    These are files, plain or gzipped, with integers, or with sky coordinates in a first header
    without pixels.

    Headers are searched only at block boundaries. If pixels look like a header by chance, the only
    harm is that embeddings are computed again.
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
