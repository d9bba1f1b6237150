"""KINDS: every kind of file of a stranger, as sources of damaged ones and what reads them."""

from __future__ import annotations

import dataclasses
import functools
import io
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import pyarrow as pa
from hostile import fits_cards, inside
from hostile.readers import EXTRACTOR, LARGEST, READERS, TABLE, VECTORS
from hostile.test_malicious import PICKLE
from hostile.test_readers import TOKENS, changed

from gzfeatures.errors import InputError
from gzfeatures.features.store import Store
from gzfeatures.features.store_import import import_vectors
from gzfeatures.fingerprint import of_bytes
from gzfeatures.heads.head import Head
from gzfeatures.images.image_set import ImageSet

WAYS = ("flip", "set", "cut", "keep", "repeat", "put")
Read = Callable[[Path], object]


@dataclasses.dataclass(frozen=True)
class Source:
    """Files of a stranger.

    Parameters
    ----------
    name : str
        Of the file.
    draw : callable
        Makes one, from a generator of random numbers.
    read : callable
        Takes its path; a GzError is a refusal.
    """

    name: str
    draw: Callable[[np.random.Generator], bytes]
    read: Read


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """A file with one to six changes; a pickle that springs a trap may be put in."""
    for _ in range(rng.integers(1, 7)):
        token = PICKLE if rng.random() < 0.05 else TOKENS[rng.integers(len(TOKENS))]
        way = WAYS[rng.integers(len(WAYS))]
        whole = changed(whole, (way, int(rng.integers(2**32)), int(rng.integers(65)), token))
    return whole


def _of(*names: str) -> Callable[[], list[Source]]:
    """Sources of readers by their names in READERS."""

    def make() -> list[Source]:
        sources = []
        for name in names:
            reader = READERS[name]
            wholes = reader.whole()

            def draw(rng: np.random.Generator, wholes: Sequence[bytes] = wholes) -> bytes:
                return damaged(wholes[rng.integers(len(wholes))], rng)

            sources.append(Source(reader.name, draw, reader.read))
        return sources

    return make


def _cards(make: Callable[[], list[bytes]], name: str, read: Read) -> list[Source]:
    """FITS files whose cards and bytes are changed."""
    wholes = make()
    return [
        Source(
            name,
            lambda rng: fits_cards.damaged(wholes[rng.integers(len(wholes))], rng),
            read,
        )
    ]


def _heads(only: str, *, boosters: bool) -> list[Source]:
    """Heads damaged inside the members of their zip, those with trees or the others."""
    wanted = [
        name for name in inside.PARAMETERS if (only in name or name == "ensemble") == boosters
    ]
    heads = inside.whole_heads(wanted)
    return [
        Source(
            "h.skops",
            lambda rng: inside.damaged(heads[rng.integers(len(heads))], rng),
            lambda path: Head.read(path).predict(TABLE),
        )
    ]


def _stack() -> list[Source]:
    file = io.BytesIO()
    np.save(file, np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3), dtype=np.uint8))

    def read(path: Path) -> None:
        ImageSet.of(path, max_pixels=LARGEST).check()

    return [Source("i.npy", lambda rng: damaged(file.getvalue(), rng), read)]


def _another_store() -> list[Source]:
    """The store of somebody else, whose files are packed as one."""

    def whole() -> bytes:
        with TemporaryDirectory() as folder:
            cache = Store(Path(folder)).vectors_of(EXTRACTOR)
            cache.add([of_bytes(b"1"), of_bytes(b"2")], VECTORS[:2])
            record = (cache.folder / "extractor.json").read_bytes()
            (shard,) = cache.folder.glob("*.arrow")
            return len(record).to_bytes(4, "big") + record + shard.read_bytes()

    data = whole()

    def draw(rng: np.random.Generator) -> bytes:
        split = 4 + int.from_bytes(data[:4], "big")
        record, shard = data[4:split], data[split:]
        if rng.random() < 0.5:
            record = damaged(record, rng)
        else:
            shard = damaged(shard, rng)
        return len(record).to_bytes(4, "big") + record + shard

    def read(path: Path) -> None:
        packed, folder = path.read_bytes(), path.with_name("another")
        split = 4 + int.from_bytes(packed[:4], "big")
        place = folder / Store(folder).vectors_of(EXTRACTOR).folder.name
        place.mkdir(parents=True)
        (place / "extractor.json").write_bytes(packed[4:split])
        # a shard is named by its digest, as whole ones are
        (place / f"{of_bytes(packed[split:])}.arrow").write_bytes(packed[split:])
        try:
            taken = import_vectors(Store(path.with_name("own")), folder)
        finally:
            shutil.rmtree(folder)
            shutil.rmtree(path.with_name("own"), ignore_errors=True)
        if any(each.refused for each in taken) or not taken:
            raise InputError("left out")

    return [Source("s.bin", draw, read)]


HATS_PLACES = ("Norder=99/Dir=0/Npix=1", "Norder=0/Dir=0/Npix=12", f"Norder=29/Dir=0/Npix={10**40}",
               "Norder=1/Dir=0/Npix=0", "Norder=0/Dir=0/Npix=../../x")  # fmt: skip
"""Places of a partition that no sky has, or that overlap others, or lead away."""


def _hats() -> list[Source]:
    """A HATS catalog of which one file is damaged, moved where no sky is, or a link out of it."""
    from gzfeatures.galaxies.hats_catalogs.folder import HatsFolder
    from gzfeatures.galaxies.hats_catalogs.writer import write_hats
    from gzfeatures.tablefiles.tables import read_table
    from gzfeatures.verbs.catalogs import check
    from gzfeatures.verbs.partitioned import join_partitions

    rng = np.random.default_rng(0)
    rows = {"galaxy_id": [f"g{k}" for k in range(40)], "ra": rng.uniform(0, 360, 40)}
    with TemporaryDirectory() as folder:
        table = pa.table({**rows, "dec": rng.uniform(-60, 60, 40)})
        root = write_hats(table, Path(folder) / "x.hats", "ra", "dec")
        whole = {
            f.relative_to(root).as_posix(): f.read_bytes() for f in root.rglob("*") if f.is_file()
        }
    names = sorted(whole)

    def draw(rng: np.random.Generator) -> bytes:
        which, way = int(rng.integers(len(names))), int(rng.integers(8))
        place = int(rng.integers(len(HATS_PLACES)))
        data = whole[names[which]]
        return bytes([which, way, place]) + (damaged(data, rng) if way < 6 else data)

    def read(path: Path) -> None:
        root = path.with_name("x.hats")
        _lay_hats(path, root, whole)
        try:
            read_table(root)
            catalog = HatsFolder.open(root)
            for partition in catalog.files:
                catalog.count(partition)
                catalog.places(partition)
        finally:
            shutil.rmtree(root)

    def joined(path: Path) -> None:
        """The verb, which reads the stranger's catalog and writes one of its own."""
        root, other, output = (path.with_name(f"{name}.hats") for name in ("x", "own", "out"))
        _lay_hats(path, root, whole)
        _lay_whole(other, whole)
        try:
            check(root)
            if path.stat().st_size % 2:
                join_partitions(root, other, output, sky=1.0)
            else:
                join_partitions(other, root, output, on="galaxy_id")
        finally:
            for folder in (root, other, output):
                shutil.rmtree(folder, ignore_errors=True)

    return [Source("h.bin", draw, read), Source("h.bin", draw, joined)]


def _lay_hats(case: Path, root: Path, whole: dict[str, bytes]) -> None:
    """A catalog with the one file, the way and the place that a case names."""
    which, way, place, *_ = case.read_bytes()[:3]
    outside = case.with_name("outside.parquet")
    for number, name in enumerate(sorted(whole)):
        data = case.read_bytes()[3:] if number == which else whole[name]
        target = root / name
        if way == 6 and number == which and name.endswith(".parquet"):
            target = root / "dataset" / f"{HATS_PLACES[place]}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        if way == 7 and number == which:
            outside.write_bytes(data)
            target.symlink_to(outside)
        else:
            target.write_bytes(data)


def _lay_whole(root: Path, whole: dict[str, bytes]) -> None:
    for name, data in whole.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def _answers() -> list[Source]:
    """What a web server answers: pages, pictures and archives, with headers that may not fit.

    A server that says it is ill (500) is asked again five times, and so is none of them.
    """
    (picture, *_), (archive, *_) = READERS["picture"].whole(), READERS["zip of images"].whole()
    pages = [b'<a href="a.jpg">a</a><a href="b.jpg">b</a>', picture, archive]

    def draw(rng: np.random.Generator) -> bytes:
        which = int(rng.integers(3))
        page = pages[which] if rng.random() < 0.2 else damaged(pages[which], rng)
        length = int(rng.choice([len(page), len(page) + 9, 0, 10**15, max(0, len(page) - 5)]))
        code = int(rng.choice([200, 200, 206, 206, 404]))
        return bytes([which]) + code.to_bytes(2, "big") + length.to_bytes(8, "big") + page

    def read(path: Path) -> None:
        answer = path.read_bytes()
        with (
            # it asks again where an answer breaks off; the pauses between are no work of refusing
            mock.patch("gzfeatures.web.retries.random.uniform", return_value=0.0),
            serving(answer[11:], *answer_head(answer), pages[0]) as (base, place),
        ):
            check = ImageSet.of(base + place[answer[0]], max_pixels=LARGEST).check()
        if check.broken:
            raise InputError(check.broken[0][1])

    return [Source("a.bin", draw, read)]


def answer_head(answer: bytes) -> tuple[int, int]:
    """The status and the length that an answer states."""
    return int.from_bytes(answer[1:3], "big"), int.from_bytes(answer[3:11], "big")


@contextmanager
def serving(
    body: bytes, code: int, length: int, index: bytes
) -> Iterator[tuple[str, dict[int, str]]]:
    """A server on 127.0.0.1; yields its address, and places of an index, pictures and a zip."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            whole = self.path == "/pictures/"  # an honest index before pictures that are not
            data = index if whole else body
            part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            self.send_response(200 if whole else code)
            stated = len(data) if whole else length
            if part and code == 206:
                first, last = int(part[1]), min(int(part[2]), len(body) - 1)
                self.send_header("Content-Range", f"bytes {first}-{last}/{length}")
                data = body[first : last + 1]
                stated = len(data) if length == len(body) else length
            self.send_header("Content-Length", str(stated))
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        do_HEAD = do_GET

        def log_message(self, *words: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *words: object) -> None:
            pass

    with Quiet(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            places = {0: "/index/", 1: "/pictures/", 2: "/images.zip"}
            yield f"http://127.0.0.1:{server.server_port}", places
        finally:
            server.shutdown()


KINDS: dict[str, tuple[Callable[[], list[Source]], str]] = {
    "pictures": (_of("picture"), "picture|page|drawing"),
    "archives": (_of("zip of images", "tar of images"), "zip"),
    "HDF5, .npy": (
        lambda: [*_of("HDF5 of images", "catalog, HDF5")(), *_stack()],
        "HDF5|npy|npz|header of an array",
    ),
    "FITS images": (
        lambda: [*_of("bands")(), *_cards(fits_cards.images, "i.fits", fits_cards.read_image)],
        "FITS",
    ),
    "FITS tables": (
        lambda: [
            *_of("catalog, FITS", "predictions, FITS")(),
            *_cards(fits_cards.tables, "t.fits", fits_cards.read_table),
        ],
        "-",
    ),
    "CSV": (_of("catalog, CSV", "catalog, ECSV", "labels", "predictions, CSV"), "device"),
    "Parquet, Feather": (
        _of(
            "catalog, Parquet", "catalog, Feather", "embedding table", "map", "predictions, Parquet"
        ),
        "pickled type in (a (?!shard)|an|pred)|record",
    ),
    "VOTable": (_of("catalog, VOTable"), "-"),
    "heads": (lambda: [*_of("head")(), *_heads("xgboost", boosters=False)], "head$|in a head"),
    "boosters": (functools.partial(_heads, "xgboost", boosters=True), "-"),
    "checkpoints": (_of("checkpoint record", "state of a training"), "checkpoint|training"),
    "weights": (
        _of("weights, torch", "weights, safetensors"),
        "weights|torch file|safetensors|2.60|beyond",
    ),
    "stores": (lambda: [*_of("shard of the store")(), *_another_store()], "shard"),
    "vectors": (
        _of(
            *("vectors, Parquet", "vectors, npz", "vectors, AnnData", "vectors, CSV"),
            "index of cells",
        ),
        "-",
    ),
    "encoders": (
        _of("encoder, torch.export", "encoder, ONNX", "encoder, configuration", "encoder, TOML"),
        "-",
    ),
    "exported heads": (_of("exported head"), "-"),
    "experiment files": (_of("experiment", "scheme"), "module|experiment|scheme|run|settings"),
    "HATS": (_hats, "-"),
    "remote answers": (_answers, "-"),
}
"""Kind → its sources, and a pattern of the names in MALICIOUS that belong to it."""
