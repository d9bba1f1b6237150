"""Append known bytes to each HCOMPRESS stream of a FITS image, to detect streams that are cut off.

HCOMPRESS streams are the compressed tiles of an image (White, Postman & Lattanzi 1992, "Compression
of the Guide Star digitised Schmidt plates"; FITS standard 4.0, section 10.4.4). A stream does not
state its length: a decompressor reads bits until every pixel is known. If the stream is cut off,
the decompressor reads beyond its end, other memory. So known bytes are appended to each stream,
more than a decompressor can read. If it begins to read a bit plane in these bytes, it finds an
illegal format code and refuses the stream. If it only reads the last signs there, the pixels differ
between two kinds of appended bytes.
"""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np

from gzfeatures.fits.numbers import Unit, damaged
from gzfeatures.fits.tiles import check_tiles, heap_of, shape_and_tiles, tile_shape

FILLINGS = (0x55, 0xAA)
"""Bytes appended to streams: any four successive bits are 5 or 10, never a format code (0, 15)."""
BLOCK = 2880
"""Size of a FITS block in bytes."""
_PCOUNT = re.compile(rb"PCOUNT  = .{70}", re.DOTALL)


def fenced(data: bytes, where: object) -> tuple[bytes, bytes] | None:
    """Return a FITS file twice, with different bytes appended to its HCOMPRESS streams.

    Parameters
    ----------
    data : bytes
        Content of the file, whose headers have been checked.
    where : object
        Name of the file, for error messages.

    Returns
    -------
    tuple of bytes, or None
        Two files; None if the file has no HCOMPRESS streams. A complete stream has the same pixels
        in both files. A stream that is cut off is refused by the decompressor, or has different
        pixels in the two files.

    Raises
    ------
    InputError
        A tile lies outside the heap, or states another shape than it must have.
    """
    from astropy.io import fits

    if b"HCOMPRESS_1" not in data:
        return None
    ends, parts, end = list(FILLINGS), [bytearray(), bytearray()], 0
    with fits.open(io.BytesIO(data), memmap=False, disable_image_compression=True) as units:
        for number, unit in enumerate(units):
            if not unit.header.get("ZIMAGE") or unit.header.get("ZCMPTYPE") != "HCOMPRESS_1":
                continue
            place = units.fileinfo(number)
            check_tiles(unit, heap_of(unit, place["datLoc"], data), Unit(where, number))
            for part, filling in zip(parts, ends, strict=True):
                part += data[end : place["hdrLoc"]]
                part += _fenced_unit(unit, data, place, filling, Unit(where, number))
            end = place["datLoc"] + place["datSpan"]
    first, second = (bytes(part + data[end:]) for part in parts)
    return (first, second) if end else None


def _fenced_unit(unit: Any, data: bytes, place: Any, filling: int, where: Unit) -> bytes:
    """Return header and data of a FITS unit; `filling` bytes follow each HCOMPRESS stream."""
    header, begin = unit.header, place["datLoc"]
    form = str(unit.columns["COMPRESSED_DATA"].format)
    if form.lstrip("01")[1:2] != "B":
        raise damaged(where, "have HCOMPRESS tiles of bytes in COMPRESSED_DATA", form)
    rows = np.frombuffer(data, unit.data.dtype, len(unit.data), begin).copy()
    heap = heap_of(unit, begin, data)
    shape, whole = shape_and_tiles(header)
    # copy the table's rows, its heap (with the compressed tiles), and the gap that may lie between
    # rows and heap: PCOUNT is the size of gap and heap together
    size = rows.nbytes + int(header["PCOUNT"])
    copies, at = bytearray(), len(heap)
    for row, (count, start) in enumerate(rows["COMPRESSED_DATA"].tolist()):
        if not count:
            continue
        fence = _most_read(tile_shape(row, shape, whole))
        rows["COMPRESSED_DATA"][row] = count + fence, at + len(copies)
        copies += heap[start : start + count] + bytes([filling]) * fence
    stated = f"PCOUNT  = {int(header['PCOUNT']) + len(copies):>20}".ljust(80).encode()
    text = _PCOUNT.sub(stated, data[place["hdrLoc"] : begin], count=1)
    content = rows.tobytes() + data[begin + rows.nbytes : begin + size] + copies
    return text + content + bytes(-len(content) % BLOCK)


def _most_read(shape: list[int]) -> int:
    """Return how many bytes to append to an HCOMPRESS stream: more than a decompressor can read.

    A decompressor reads at most the rest of one bit plane (six bits for four pixels, and a third of
    that for coarser levels) and one sign bit for each pixel: three bits per pixel. The number
    returned is four bits per pixel, in bytes, and a margin.
    """
    return math.prod(shape) // 2 + 8 * sum(shape) + 64
