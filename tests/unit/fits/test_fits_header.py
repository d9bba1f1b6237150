"""FITS headers are judged by the file's length before astropy is asked: what asks for more is
refused."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from gzfeatures.errors import InputError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.fits.header import judged, require_sizes
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.images.image_set import ImageSet


def card(key: str, value: object) -> bytes:
    return f"{key:<8}= {value:>20}".encode().ljust(80)


def image() -> bytes:
    file = io.BytesIO()
    fits.PrimaryHDU(np.arange(64, dtype=np.float32).reshape(8, 8)).writeto(file)
    return file.getvalue()


def table(**columns: Any) -> bytes:
    file = io.BytesIO()
    columns = columns or {"galaxy_id": [1, 2], "spiral": [0.5, 0.25], "smooth": [0.5, 0.75]}
    Table(columns).write(file, format="fits")
    return file.getvalue()


def arrays() -> bytes:
    file = io.BytesIO()
    rows = np.array([np.arange(3.0), np.arange(5.0)], dtype=object)
    columns = [fits.Column("galaxy_id", "K", array=[1, 2]), fits.Column("a", "PD()", array=rows)]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(file)
    return file.getvalue()


def text() -> bytes:
    file = io.BytesIO()
    columns = [fits.Column("galaxy_id", "I10", array=[1, 2], ascii=True)]
    fits.HDUList([fits.PrimaryHDU(), fits.TableHDU.from_columns(columns)]).writeto(file)
    return file.getvalue()


def packed() -> bytes:
    file = io.BytesIO()
    fits.HDUList(
        [fits.PrimaryHDU(), fits.CompImageHDU(np.arange(400, dtype=np.int16).reshape(20, 20))]
    ).writeto(file)
    return file.getvalue()


def dithered() -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(size=(32, 40)).astype(np.float32)
    unit = fits.CompImageHDU(noise, quantize_method=1, dither_seed=7, tile_shape=(16, 40))
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(file)
    return file.getvalue()


def groups() -> bytes:
    """Random groups of three rows of two parameters and twenty values."""
    words = {"SIMPLE": "T", "BITPIX": 8, "NAXIS": 3, "NAXIS1": 0, "NAXIS2": 5, "NAXIS3": 4}
    cards = [card(key, value) for key, value in words.items()]
    cards += [card("GROUPS", "T"), card("PCOUNT", 2), card("GCOUNT", 3), b"END".ljust(80)]
    return b"".join(cards).ljust(2880) + bytes(3 * 2880)


def sparse() -> bytes:
    """A compressed image of 10,000 × 10,000 pixels in some 12 kB: tiles that point to one
    stream."""
    file = io.BytesIO()
    unit = fits.CompImageHDU(
        np.zeros((4_000, 4), np.int16), compression_type="RICE_1", tile_shape=(4_000, 4)
    )
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(file)
    data = put(put(file.getvalue(), "ZNAXIS1", 10_000), "ZNAXIS2", 6_000)
    return put(put(data, "ZTILE1", 10_000), "ZTILE2", 6_000)


def put(data: bytes, key: str, value: object) -> bytes:
    """The bytes with one card of the last header that has it set to another value, or put in the
    place of a blank."""
    place = data.rfind(f"{key:<8}= ".encode())
    if place < 0:
        place = data.rindex(b"END".ljust(80))
        return data[:place] + card(key, value) + data[place : place + 80] + data[place + 160 :]
    return data[:place] + card(key, value) + data[place + 80 :]


def twice(keyword: str) -> bytes:
    """An image whose header states the length of its rows again, and otherwise."""
    return image().replace(card("EXTEND", "T"), f"{keyword} 9".encode().ljust(80))


GREEDY: dict[str, tuple[Callable[[], bytes], str, object, str]] = {
    "negative axis": (image, "NAXIS1", -8,
                      "state NAXIS1 as a whole number of at least 0, found -8"),
    "axis that is no number": (image, "NAXIS2", "8.5", "state NAXIS2 as a whole number"),
    "axis beyond the file": (image, "NAXIS2", 10**5,
                             r"(image|catalog|predictions file) is truncated"),
    "axis of 2^60": (image, "NAXIS2", 2**59, r"is truncated|too large to decode"),
    "axis that overflows": (image, "NAXIS2", 10**19, "state NAXIS2 as a whole number"),
    "thousand axes": (image, "NAXIS", 1000, "have at most 999 axes"),
    "axes that are not there": (image, "NAXIS", 3,
                                "state NAXIS3 as a whole number of at least 0, found none"),
    "bits of no kind": (image, "BITPIX", 7, "state BITPIX as 8, 16, 32, 64, -32 or -64, found 7"),
    "negative parameters": (image, "PCOUNT", -(10**6),
                            "state PCOUNT as a whole number of at least 0"),
    "parameters beyond the file": (image, "PCOUNT", 10**12, "is truncated; must hold"),
    "negative groups": (image, "GCOUNT", -1, "state GCOUNT as a whole number of at least 1"),
    "groups beyond the file": (image, "GCOUNT", 10**9, "have GCOUNT 1"),
    "negative row": (table, "NAXIS1", -24, "state NAXIS1"),
    "negative rows": (table, "NAXIS2", -2, "state NAXIS2"),
    "rows beyond the file": (table, "NAXIS2", 10**9, "is truncated; must hold"),
    "heap that goes back": (table, "PCOUNT", -5760, "state PCOUNT as a whole number of at least 0"),
    "heap beyond the file": (arrays, "PCOUNT", 10**10, "is truncated; must hold"),
    "heap that lies elsewhere": (arrays, "THEAP", 10**6,
                                 r"have its heap in \d+…\d+ by THEAP, found 1000000"),
    "array longer than the heap": (arrays, "TFORM2", "'PD(1000000)'", "in a heap of 64 bytes"),
    "column wider than the row": (table, "TFORM1", "'100000000K'",
                                  "have columns of 24 bytes in each row"),
    "column of no type": (table, "TFORM1", "'1Z'", "state TFORM1 as a repeat count and a letter"),
    "more columns than there are": (table, "TFIELDS", 9,
                                    "state TFORM4 as a repeat count and a letter, found none"),
    "no columns in rows": (table, "TFIELDS", 0, "have columns of 24 bytes"),
    "more columns than can be": (table, "TFIELDS", 10**6, "have at most 999 columns"),
    "array of more than the cell": (table, "TDIM1", "'(100000,100000)'",
                                    "have at most 1 values in TDIM1"),
    "text column beyond the row": (text, "TFORM1", "'I99999999'",
                                   "have column 1 within 10 characters"),
    "text column from before the row": (text, "TBCOL1", -5,
                                        "state TBCOL1 as a whole number of at least 1"),
    "tiles that are not there": (packed, "ZNAXIS2", 10**6,
                                 "have a row for each of 1000000 tiles, found 20"),
    "tile of no pixels": (packed, "ZTILE1", 0, "state ZTILE1 as a whole number of at least 1"),
    "negative tiled image": (packed, "ZNAXIS1", -20, "state ZNAXIS1 as a whole number"),
    "dithering by a word": (dithered, "ZDITHER0", "'one'",
                            "state ZDITHER0 as a whole number from 1 to"),
    "dithering without a seed": (dithered, "ZDITHER0", "",
                                 "state ZDITHER0 as a whole number from 1 to 10000"),
    "pixels of a word of bytes": (dithered, "ZVAL2", "'four'",
                                  "state BYTEPIX as a number from 0 to 8, found four"),
    "random groups of 2880 parameters": (groups, "PCOUNT", 2_000,
                                         "at most 999 parameters in random groups"),
    "two sizes": (lambda: twice("NAXIS1  ="), "BITPIX", -32, "state NAXIS1 once, found 8 and 9"),
    "size by another spelling": (lambda: twice("naxis1="), "BITPIX", -32,
                                 "state NAXIS1 once, found 8 and 9"),
    "size by another way": (lambda: twice("HIERARCH NAXIS1 ="), "BITPIX", -32,
                            "state NAXIS1 once, found 8 and 9"),
}  # fmt: skip
"""What a header asks for: file, card, value, and what is said."""


@pytest.fixture
def unreached(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What astropy was asked to open, which is nothing."""
    asked: list[object] = []

    def spy(*arguments: object, **options: object) -> None:
        asked.append(arguments)
        raise AssertionError("astropy was reached")

    monkeypatch.setattr(fits, "open", spy)
    return asked


def look(path: Path) -> None:
    images = ImageSet.of(path)
    (_, why), *_ = images.check().broken
    raise InputError(why)


@pytest.mark.parametrize(
    "read", [look, Catalog.read, Predictions.read], ids=["image", "catalog", "predictions"]
)
@pytest.mark.parametrize("kind", GREEDY)
def test_a_header_that_asks_for_more_than_the_file_holds_never_reaches_astropy(
    kind: str, read: Callable[[Path], object], tmp_path: Path, unreached: list[object]
) -> None:
    make, key, value, said = GREEDY[kind]
    data = put(make(), key, value)
    names = ("a.fits", "a.fits.gz") if read != Predictions.read else ("a.fits",)
    for name in names:
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        with pytest.raises(InputError, match=said):
            read(tmp_path / name)
        (tmp_path / name).unlink()
    assert unreached == []


def test_the_spy_is_reached_by_files_that_hold_what_they_say(
    tmp_path: Path, unreached: list[object]
) -> None:
    (tmp_path / "a.fits").write_bytes(image())
    assert "astropy was reached" in ImageSet.of(tmp_path / "a.fits").check().broken[0][1]
    (tmp_path / "c.fits").write_bytes(table())
    for read in (Catalog.read, Predictions.read):
        with pytest.raises(InputError, match="astropy was reached"):
            read(tmp_path / "c.fits")
    assert len(unreached) == 3


def test_a_header_without_end_and_a_file_of_endless_units_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = image()
    for cut in (2880, 2000):
        with pytest.raises(InputError, match="must end its header with END, found"):
            require_sizes(io.BytesIO(data[:cut].replace(b"END", b"XXX")), cut, where="a.fits")
    with pytest.raises(InputError, match=r"must have a blank END card, found END= 5"):
        require_sizes(
            io.BytesIO(data.replace(b"END".ljust(80), b"END= 5".ljust(80))),
            len(data),
            where="a.fits",
        )
    monkeypatch.setattr("gzfeatures.fits.header.MAX_UNITS", 3)
    units = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU() for _ in range(3))]).writeto(units)
    units.seek(0)
    with pytest.raises(InputError, match="FITS file has too many units; must have at most 3"):
        require_sizes(units, 10**6, where="a.fits")
    monkeypatch.setattr("gzfeatures.fits.header.MAX_CARDS", 30)
    long = io.BytesIO()
    fits.PrimaryHDU(header=fits.Header([(f"K{k}", k) for k in range(100)])).writeto(long)
    long.seek(0)
    with pytest.raises(InputError, match="must have at most 30 cards in a header"):
        require_sizes(long, 10**6, where="a.fits")


def whole() -> dict[str, bytes]:
    """Files of every kind that astropy writes."""
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 99, (33, 21)).astype(np.int16)
    bits = fits.Column("b", "11X", array=np.ones((2, 11), bool))
    long = fits.Header({"HIERARCH eso long name": 5, "NOTE": "x" * 200, "HISTORY": "END is near"})
    methods = ("RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1")
    units: dict[str, list[Any]] = {
        "cube": [fits.PrimaryHDU(np.zeros((3, 4, 5), ">f8"))],
        "scaled": [fits.PrimaryHDU(plane.astype(np.uint16))],
        "nothing": [fits.PrimaryHDU()],
        "extensions": [
            fits.PrimaryHDU(), *(fits.ImageHDU(plane, name=n) for n in ("SCI", "ERR", "DQ"))],
        "bits": [fits.PrimaryHDU(), fits.BinTableHDU.from_columns([bits])],
        "strings": [
            fits.PrimaryHDU(),
            fits.BinTableHDU(Table({"s": ["a", "bcd"], "v": np.zeros((2, 3, 2))}))],
        "no rows": [fits.PrimaryHDU(), fits.BinTableHDU(Table({"s": np.zeros(0)}))],
        "long cards": [fits.PrimaryHDU(plane, long)],
        **{kind: [fits.PrimaryHDU(), fits.CompImageHDU(plane, compression_type=kind)]
           for kind in methods},
        "tiles": [
            fits.PrimaryHDU(),
            fits.CompImageHDU(plane.astype("f4"), tile_shape=(16, 16), quantize_level=16)],
    }  # fmt: skip
    groups = image().replace(card("EXTEND", "T"), card("GROUPS", "T"))
    for key, value in (("NAXIS1", 0), ("PCOUNT", 2), ("GCOUNT", 6)):
        groups = put(groups, key, value)
    result = {"arrays": arrays(), "text": text(), "table": table(), "groups": groups}
    for name, listed in units.items():
        file = io.BytesIO()
        fits.HDUList(listed).writeto(file)
        result[name] = file.getvalue()
    return result


WHOLE = whole()


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files_of_every_kind_pass_as_they_are(name: str, tmp_path: Path) -> None:
    data = WHOLE[name]
    for path, stored in ((tmp_path / "a.fits", data), (tmp_path / "b.fits", gzip.compress(data))):
        path.write_bytes(stored)
        with judged(path) as file:
            assert file.read() == data


def test_what_lies_behind_the_last_unit_is_not_handed_on(tmp_path: Path) -> None:
    data, path = table(), tmp_path / "a.fits"
    for tail in (bytes(2880), b"\xff" * 999, b"SIMPLE  = anything"):
        for stored in (data + tail, gzip.compress(data + tail)):
            path.write_bytes(stored)
            with judged(path) as file:
                assert file.read() == data
            assert len(Catalog.read(path).ids) == 2
    path.write_bytes(data + b"XTENSION= 'IMAGE   '")
    with pytest.raises(
        InputError, match=r"FITS file is damaged in unit 2; must end its header with END"
    ):
        Catalog.read(path)


def test_a_last_unit_without_its_padding_is_read(tmp_path: Path) -> None:
    data = image()
    (tmp_path / "a.fits").write_bytes(data[: 2880 + 256])
    assert ImageSet.of(tmp_path / "a.fits").check().broken == ()
    (tmp_path / "a.fits").write_bytes(data[: 2880 + 255])
    assert (
        "image is truncated; must hold 3136 bytes, found 3135"
        in ImageSet.of(tmp_path / "a.fits").check().broken[0][1]
    )


def test_judging_a_packed_file_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.fits.gz"
    head = image()[:2880]
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(put(put(head, "NAXIS1", 10**4), "NAXIS2", 5 * 10**3))
        for _ in range(200):
            file.write(bytes(10**6))
    tracemalloc.start()
    with judged(path) as plain:
        assert plain.seek(0, 2) == 2880 + 2 * 10**8
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
    path.write_bytes(gzip.compress(put(head, "NAXIS2", 10**9)))
    with (
        pytest.raises(InputError, match="FITS file is truncated; must hold 32000002880 bytes"),
        judged(path),
    ):
        pass


def test_a_compressed_image_that_is_all_but_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.fits").write_bytes(sparse())
    with pytest.raises(InputError, match=r"holds almost no data; must have at most 4,000,000"):
        look(tmp_path / "a.fits")


def test_random_groups_are_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.fits").write_bytes(groups())
    with pytest.raises(InputError, match="FITS file holds no image"):
        look(tmp_path / "a.fits")


def tiled(kind: str, pixels: np.ndarray) -> bytearray:
    file = io.BytesIO()
    unit = fits.CompImageHDU(pixels, compression_type=kind, tile_shape=pixels.shape)
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(file)
    return bytearray(file.getvalue())


def descriptor(data: bytearray) -> int:
    """The place of the first tile's number of values and start."""
    with fits.open(io.BytesIO(bytes(data)), disable_image_compression=True) as units:
        return int(units.fileinfo(1)["datLoc"])


@pytest.mark.parametrize(
    "numbers", [(-1, 0), (10**9, 0), (8, -8), (8, 10**9), (2**31 - 1, 2**31 - 1)]
)
def test_a_tile_that_lies_elsewhere_is_refused_before_it_is_unpacked(
    numbers: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiled("RICE_1", np.arange(400, dtype=np.int16).reshape(20, 20))
    place = descriptor(data)
    data[place : place + 8] = struct.pack(">ii", *numbers)
    (tmp_path / "a.fits").write_bytes(data)
    monkeypatch.setattr(fits.CompImageHDU, "data", property(lambda unit: pytest.fail("unpacked")))
    with pytest.raises(InputError, match=r"have tile 1 of COMPRESSED_DATA in a heap of \d+ bytes"):
        look(tmp_path / "a.fits")


@pytest.mark.parametrize("kind", ["GZIP_1", "GZIP_2"])
def test_a_tile_that_unpacks_to_more_than_its_pixels_is_refused(kind: str, tmp_path: Path) -> None:
    data = tiled(kind, np.random.default_rng(0).integers(0, 999, (64, 64)).astype(np.int32))
    bomb = gzip.compress(bytes(3_000_000))
    place = descriptor(data)
    count, start = struct.unpack(">ii", data[place : place + 8])
    assert count > len(bomb) and start == 0
    data[place : place + 4] = struct.pack(">i", len(bomb))
    data[place + 8 : place + 8 + len(bomb)] = bomb
    (tmp_path / "a.fits").write_bytes(data)
    with pytest.raises(InputError, match="have tiles of at most 32768 bytes, found more"):
        look(tmp_path / "a.fits")


def test_instructions_beyond_a_tile_are_refused(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64), np.int16)
    pixels[10:20] = 3
    data = tiled("PLIO_1", pixels)
    place = descriptor(data) + 8
    # one instruction more than there are
    words = struct.unpack(">i", data[descriptor(data) : descriptor(data) + 4])[0] + 1
    data[place + 6 : place + 10] = struct.pack(">hh", words % 2**15, words // 2**15)
    (tmp_path / "a.fits").write_bytes(data)
    with pytest.raises(InputError, match=r"have \d+ words in a PLIO tile, found \d+"):
        look(tmp_path / "a.fits")


@pytest.mark.parametrize("sides", [(6, 10), (20, 10), (10, 20)])
def test_a_tile_that_would_be_unpacked_into_another_shape_is_refused(
    sides: tuple[int, int], tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(1, 999, (20, 20)).astype(np.int16)
    data = tiled("HCOMPRESS_1", pixels)
    place = data.index(b"\xdd\x99")
    data[place + 2 : place + 10] = struct.pack(">ii", *sides)
    (tmp_path / "a.fits").write_bytes(data)
    with pytest.raises(InputError, match=r"have an HCOMPRESS tile of \[20, 20\] pixels"):
        look(tmp_path / "a.fits")


def test_shorter_tiles_at_the_edges_are_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 999, (3, 21, 30)).astype(np.int16)
    unit = fits.CompImageHDU(pixels, compression_type="HCOMPRESS_1", tile_shape=(1, 8, 11))
    unit.header["BANDS"] = "gri"
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(tmp_path / "a.fits")
    assert not ImageSet.of(tmp_path / "a.fits").check().broken


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1"])
def test_whole_tiles_of_every_method_are_read(kind: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 999, (33, 20)).astype(np.int16)
    (tmp_path / "a.fits").write_bytes(tiled(kind, pixels))
    assert not ImageSet.of(tmp_path / "a.fits").check().broken


def test_a_table_of_endless_columns_and_no_rows_is_refused(tmp_path: Path) -> None:
    data = put(put(put(table(), "NAXIS2", 0), "TFORM1", "'100000000K'"), "NAXIS1", 8 * 10**8 + 16)
    (tmp_path / "a.fits").write_bytes(data)
    with pytest.raises(InputError, match=r"its rows hold 100,000,002 values \(at most 30,000\)"):
        Catalog.read(tmp_path / "a.fits")
