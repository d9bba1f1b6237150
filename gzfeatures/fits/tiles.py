"""Check the compressed tiles of a FITS image before they are decompressed.

FITS standard 4.0 (doi:10.1051/0004-6361/201015362), section 10. The compressed bytes of a tile lie
in the heap after the table; a pair of numbers in the tile's row states their length and place.
Decompressors trust these numbers, and the sizes that a compressed tile itself states.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.fits.numbers import Unit, damaged

COLUMNS = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA")
WIDEST = 8
"""Number of bytes of a pixel in the largest pixel type."""
HCOMPRESS_HEADER = 25
"""Bytes at the start of an HCOMPRESS stream: mark, two side lengths, scale, sum, bit planes."""
MOST_PLANES = 64
"""Largest number of bit planes of an HCOMPRESS tile: the number of bits of the largest integer."""


def check_tiles(unit: Any, heap: bytes, where: Unit) -> None:
    """Require that each tile lies in the FITS heap, and decompresses to at most its pixels' bytes.

    Parameters
    ----------
    unit : astropy.io.fits.BinTableHDU
        Table with the tiles, opened with `disable_image_compression`.
    heap : bytes
        Bytes after the rows of the table, with the compressed tiles.
    where : Unit
        File and number of the unit, for error messages.

    Raises
    ------
    InputError
        A tile lies outside the heap, or states a larger size than it must have.
    """
    header, rows = unit.header, unit.data.view(np.ndarray)
    shape, whole = shape_and_tiles(header)
    method = str(header.get("ZCMPTYPE", "")).strip()
    for name in COLUMNS:
        if name not in (rows.dtype.names or ()):
            continue
        letter = str(unit.columns[name].format).lstrip("0123456789")[1:2]
        width = {"I": 2, "J": 4, "E": 4, "D": 8, "K": 8}.get(letter, 1)
        tiles = _tiles(rows[name], width, heap, name, where)
        if method.startswith("GZIP") or name == "GZIP_COMPRESSED_DATA":
            for _, stream in tiles:
                _require_unpacked(stream, WIDEST * math.prod(whole), where)
        elif method == "PLIO_1" and name == "COMPRESSED_DATA":
            for _, stream in tiles:
                _require_instructions(stream, where)
        elif method == "HCOMPRESS_1" and name == "COMPRESSED_DATA":
            for row, stream in tiles:
                _require_shape(stream, tile_shape(row, shape, whole), where)


def heap_of(unit: Any, begin: int, data: bytes) -> bytes:
    """Return the heap of a FITS table: the bytes after its rows, with the compressed tiles.

    Parameters
    ----------
    unit : astropy.io.fits.BinTableHDU
        The table.
    begin : int
        Position in the file at which the rows of the table begin.
    data : bytes
        Content of the file.
    """
    header = unit.header
    rows = int(header["NAXIS1"]) * int(header["NAXIS2"])
    # if there is a gap between the table's rows and the heap, THEAP states where the heap begins
    return data[begin + int(header.get("THEAP", rows)) : begin + rows + int(header["PCOUNT"])]


def shape_and_tiles(header: Any) -> tuple[list[int], list[int]]:
    """Return the side lengths of a compressed image and those of a tile, first FITS axis first."""
    axes = range(1, int(header["ZNAXIS"]) + 1)
    shape = [int(header[f"ZNAXIS{axis}"]) for axis in axes]
    return shape, [int(header.get(f"ZTILE{axis}", shape[0] if axis == 1 else 1)) for axis in axes]


def tile_shape(row: int, shape: Sequence[int], whole: Sequence[int]) -> list[int]:
    """Return the side lengths of a tile, last FITS axis first; tiles at the edge are shorter."""
    lengths = []
    for length, side in zip(shape, whole, strict=True):
        # row number → tile number along each axis: successive table rows contain tiles that follow
        # each other along the first FITS axis
        row, place = divmod(row, -(-length // side))
        lengths.append(min(side, length - place * side))
    return lengths[::-1]


def _tiles(
    descriptors: npt.NDArray[Any], width: int, heap: bytes, name: str, where: Unit
) -> Iterator[tuple[int, memoryview]]:
    """Yield row number and bytes of each compressed tile; refuse tiles outside the heap."""
    pairs = descriptors.reshape(-1, 2).astype(np.int64)
    counts, starts = pairs[:, 0], pairs[:, 1]
    # compare count with a quotient, because the product of count and width may exceed 64 bits
    outside = (counts < 0) | (starts < 0) | (starts > len(heap))
    outside |= counts > (len(heap) - starts) // width
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        found = f"{counts[row]} values from byte {starts[row]}"
        raise damaged(where, f"have tile {row + 1} of {name} in a heap of {len(heap)} bytes", found)
    view = memoryview(heap)
    return (
        (row, view[start : start + count * width])
        for row, (count, start) in enumerate(pairs.tolist())
        if count
    )


def _require_unpacked(stream: memoryview, most: int, where: Unit) -> None:
    """Require that a gzip stream decompresses to at most `most` bytes."""
    rest, total = bytes(stream), 0
    try:
        while rest:
            unpacker = zlib.decompressobj(wbits=31)
            while not unpacker.eof and total <= most:
                # decompress at most 1 MB at a time, so that a small stream with a huge result
                # cannot fill the memory
                part = unpacker.decompress(rest, 2**20)
                rest, total = unpacker.unconsumed_tail, total + len(part)
                if not part and not rest:
                    break
            if total > most:
                raise damaged(where, f"have tiles of at most {most} bytes", "more, packed by gzip")
            rest = unpacker.unused_data
    except zlib.error as error:
        raise damaged(where, "have whole gzip streams in its tiles", error) from None


def _require_instructions(stream: memoryview, where: Unit) -> None:
    """Require that a PLIO stream contains as many instructions as it states."""
    words = np.frombuffer(stream[: len(stream) // 2 * 2], dtype=">i2")
    # old PLIO streams state the number of words in the third word, newer ones in words 4 and 5
    length = 0
    if len(words) > 2 and words[2] > 0:
        length = int(words[2])
    elif len(words) > 4:
        length = int(words[4]) * 2**15 + int(words[3])
    if len(words) < 3 or length > len(words):
        raise damaged(where, f"have {length} words in a PLIO tile", len(words))


def _require_shape(stream: memoryview, shape: Sequence[int], where: Unit) -> None:
    """Refuse an HCOMPRESS stream with a shape other than its tile's, or too many bit planes."""
    sides = [length for length in shape if length != 1]
    stated = list(struct.unpack(">ii", stream[2:10])) if len(stream) >= HCOMPRESS_HEADER else []
    if stated != sides:
        raise damaged(where, f"have an HCOMPRESS tile of {sides} pixels", stated or len(stream))
    deepest = max(stream[HCOMPRESS_HEADER - 3 : HCOMPRESS_HEADER])
    if deepest > MOST_PLANES:
        raise damaged(where, f"have at most {MOST_PLANES} bit planes in HCOMPRESS tiles", deepest)
