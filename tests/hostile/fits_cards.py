"""FITS files whose cards and bytes are changed, one by one: read in a process of its own.

    python tests/hostile/fits_cards.py CASES PROGRESS [FIRST]

Every file keeps its structure: blocks of 2880 bytes, cards of 80 characters, an END. Prints how
many cases were read and refused, their seconds, and by how many bytes the process grew at most. The
number of the case at work stands in the file PROGRESS, for whoever finds that the process died.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "support")]

from gzfeatures.errors import GzError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.images.decode import Decoder
from gzfeatures.images.decoding.decode_rgb import MAX_PIXELS
from gzfeatures.images.view import View

BLOCK, CARD = 2880, 80
HANGS = 60
"""Seconds after which a case counts as hanging: the process ends itself and says where."""
VALUES = (
    *(str(sign * 2**power + by) for power in (0, 3, 7, 15, 31, 40, 62) for sign in (1, -1)
      for by in (0, -1)),
    *("0", "10", "100", "1000", "10000", "1E300", "-1.5", "1E-300", "NaN", "T", "F", "''", "'x'",
      "8", "-32", "-64"),
    *("'1J'", "'100J'", "'1PJ(100)'", "'1QE(9)'", "'0A'", "'9999999999A'", "'1PB(-1)'", "'(9,9,9)'",
      "'(0,1)'"),
    *("'RICE_1'", "'GZIP_1'", "'GZIP_2'", "'HCOMPRESS_1'", "'PLIO_1'", "'NOCOMPRESS'",
      "'SUBTRACTIVE_DITHER_2'"),
    *("'BLOCKSIZE'", "'BYTEPIX'", "'SCALE'", "'IMAGE   '", "'BINTABLE'", "'TABLE   '", "'A3DTABLE'",
      "'I6'", "'F8.3'"),
    *("'COMPRESSED_DATA'", "'ZSCALE'", "'ZBLANK'", "'galaxy_id'", "'" + "A" * 66 + "'", "(1, 2)",
      "", "/ nothing"),
)  # fmt: skip
"""What a card is made to say."""
KEYS = (
    *("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "PCOUNT", "GCOUNT",
      "GROUPS", "THEAP"),
    *("TFIELDS", "TFORM1", "TFORM2", "TDIM1", "TDIM2", "TNULL1", "TSCAL1", "TZERO1", "TBCOL1",
      "TBCOL2", "TTYPE2"),
    *("ZIMAGE", "ZCMPTYPE", "ZBITPIX", "ZNAXIS", "ZNAXIS1", "ZNAXIS2", "ZTILE1", "ZTILE2",
      "ZQUANTIZ", "ZDITHER0"),
    *("ZNAME1", "ZVAL1", "ZNAME2", "ZVAL2", "ZBLANK", "ZSCALE", "ZZERO", "ZTABLE", "BSCALE",
      "BZERO", "BLANK", "BUNIT"),
    *("EXTNAME", "EXTVER", "EXTEND", "INHERIT", "PTYPE1", "PSCAL1", "CTYPE1", "CRVAL1", "CDELT1",
      "WCSAXES", "FILTER"),
)  # fmt: skip
"""Cards that are put in where a file lacks them."""


def _bytes(*units: Any) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits.HDUList(list(units)).writeto(file)
    return file.getvalue()


def _groups() -> bytes:
    """Random groups (standard, section 6): astropy does not write them to memory."""
    words = {"SIMPLE": "T", "BITPIX": -32, "NAXIS": 3, "NAXIS1": 0, "NAXIS2": 5, "NAXIS3": 4}
    words |= {"GROUPS": "T", "PCOUNT": 2, "GCOUNT": 3, "PTYPE1": "'U'", "PTYPE2": "'V'"}
    cards = "".join(f"{key:<8}= {value:>20}".ljust(CARD) for key, value in words.items())
    numbers = np.arange(3 * (2 + 20), dtype=">f4").tobytes()
    return (cards + "END").ljust(BLOCK).encode() + numbers.ljust(BLOCK, b"\0")


def images() -> list[bytes]:
    """Small images of every structure."""
    rng, first = np.random.default_rng(0), fits.PrimaryHDU
    flux = rng.normal(size=(12, 10)).astype(np.float32)
    counts = rng.integers(0, 900, (12, 10))
    made = [
        _bytes(first(flux)),
        _bytes(first(counts.astype(np.uint16))),
        _bytes(first(np.stack([flux, flux, flux]).astype(np.float64),
                     fits.Header({"BANDS": "gri"}))),
        _bytes(first(), fits.ImageHDU(flux, name="SCI"),
               fits.ImageHDU(counts.astype(np.int32), name="DQ")),
        _groups(),
    ]  # fmt: skip
    for kind in ("RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1"):
        whole = fits.CompImageHDU(
            counts.astype(np.int16), compression_type=kind, tile_shape=(6, 10)
        )
        made.append(_bytes(first(), whole))
    for method in (1, 2):
        noisy = rng.normal(size=(32, 40)).astype(np.float32)
        unit = fits.CompImageHDU(noisy, quantize_method=method, dither_seed=7, tile_shape=(16, 40))
        made.append(_bytes(first(), unit))
    return made


def tables() -> list[bytes]:
    """Small tables of every structure and format."""
    n = 4
    plain = [
        fits.Column("galaxy_id", "K", array=np.arange(n)),
        *(fits.Column(f"c{form}", form, array=np.arange(n)) for form in "BIJED"),
        fits.Column("L", "L", array=np.arange(n) % 2 == 0),
        fits.Column("X", "9X", array=np.ones((n, 9), bool)),
        fits.Column("name", "7A", array=["a", "bb", "", "spiral"]),
        fits.Column("C", "C", array=np.ones(n, np.complex64)),
        fits.Column("grid", "6E", array=np.zeros((n, 3, 2)), dim="(2,3)"),
        fits.Column("scaled", "I", array=np.arange(n), null=2),
    ]
    rows = np.empty(n, dtype=object)
    rows[:] = [np.arange(k + 1.0) for k in range(n)]
    heap = [plain[0], fits.Column("P", "PD()", array=rows), fits.Column("Q", "QD()", array=rows)]
    text = [
        fits.Column(name, form, array=values, ascii=True)
        for name, form, values in (
            ("galaxy_id", "I10", np.arange(n)),
            ("ra", "F12.5", np.arange(n) / 3),
            ("name", "A6", ["a", "b", "c", "d"]),
            ("flux", "E15.7", np.arange(n) * 1e9),
        )
    ]
    first, binary = fits.PrimaryHDU, fits.BinTableHDU.from_columns
    return [
        _bytes(first(), binary(plain)),
        _bytes(first(), binary(heap)),
        _bytes(first(), fits.TableHDU.from_columns(text)),
        _bytes(first(), binary(plain[:2]), binary(heap)),
        _bytes(first(np.zeros((4, 4))), binary(plain[:3])),
    ]


def _cards(data: bytes) -> list[int]:
    """Places of the cards of all headers, END left out."""
    places = []
    for block in range(0, len(data), BLOCK):
        for place in range(block, block + BLOCK, CARD):
            if data[place : place + 8].isascii() and data[place + 8 : place + 10] == b"= ":
                places.append(place)
    return places


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with one to three cards or stretches of bytes changed; its blocks stay whole."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        places = _cards(bytes(changed))
        place = places[rng.integers(len(places))]
        value = VALUES[rng.integers(len(VALUES))]
        way = rng.integers(10)
        key = bytes(changed[place : place + 8]).decode("ascii", "replace")
        if way < 5:  # another value of the same card
            changed[place : place + CARD] = f"{key}= {value:>20}".encode().ljust(CARD)[:CARD]
        elif way == 5:  # another card in its place
            key = KEYS[rng.integers(len(KEYS))]
            changed[place : place + CARD] = f"{key:<8}= {value:>20}".encode().ljust(CARD)[:CARD]
        elif way == 6:  # no card in its place
            changed[place : place + CARD] = b" " * CARD
        elif way == 7:  # two cards that have changed places
            other = places[rng.integers(len(places))]
            one, two = changed[place : place + CARD], changed[other : other + CARD]
            changed[place : place + CARD], changed[other : other + CARD] = two, one
        elif way == 8:  # a block less, or one twice
            block = int(rng.integers(len(changed) // BLOCK)) * BLOCK
            keep = changed[block : block + BLOCK] * (2 * int(rng.integers(2)))
            changed[block : block + BLOCK] = keep
            if len(changed) < 2 * BLOCK:
                return bytes(changed)
        else:  # numbers of the data: sizes and places of arrays, compressed tiles
            at = int(rng.integers(BLOCK, max(BLOCK + 1, len(changed) - 8)))
            number = int(rng.choice([0, 1, 255, 2**15, 2**31 - 1, -1, -(2**31), 10**6]))
            changed[at : at + 4] = (number % 2**32).to_bytes(4, "big")
    return bytes(changed)


def read_image(path: Path) -> None:
    """Decode the image of a file as extraction does."""
    contents = Decoder(path.read_bytes(), path, MAX_PIXELS)
    contents.faults()
    contents.see(View(size=8))


def read_table(path: Path) -> None:
    """Read the table of a file as `check` does."""
    Catalog.examine(path)
    Catalog.read(path)


def _peak() -> int:
    """The most memory that this process has held, in bytes."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def main(cases: int, progress: Path, first: int = 0) -> None:
    """Meet the cases."""
    warnings.simplefilter("ignore")
    wholes: list[tuple[bytes, Callable[[Path], None], str]] = [
        *((data, read_image, "i.fits") for data in images()),
        *((data, read_table, "t.fits") for data in tables()),
    ]
    read, refused, seconds, grown = 0, 0, [], []
    with tempfile.TemporaryDirectory() as folder, progress.open("w") as log:
        for data, reader, name in wholes:  # libraries are loaded before memory is measured
            (Path(folder) / name).write_bytes(data)
            with contextlib.suppress(GzError):  # of random groups
                reader(Path(folder) / name)
        for case in range(first, first + cases):
            log.seek(0)
            log.write(f"{case}\n")
            log.flush()
            faulthandler.dump_traceback_later(HANGS, exit=True)
            rng = np.random.default_rng(case)
            data, reader, name = wholes[case % len(wholes)]
            path = Path(folder) / name
            path.write_bytes(damaged(data, rng))
            before, start = _peak(), time.perf_counter()
            try:
                reader(path)
                read += 1
            except GzError as error:
                assert len(str(error).splitlines()) == 1, error
                refused += 1
            seconds.append(time.perf_counter() - start)
            grown.append(_peak() - before)
    print(
        json.dumps(
            {
                "cases": cases,
                "read": read,
                "refused": refused,
                "seconds": sorted(seconds)[int(0.99 * (len(seconds) - 1))],
                "grown": sum(grown),
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
