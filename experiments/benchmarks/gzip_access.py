"""Time and memory of reading a gzipped tar in order and at random: our reader against indexed_gzip.

python experiments/benchmarks/gzip_access.py [GALAXIES]   (needs indexed_gzip)
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import numpy as np

from gzfeatures.images.sources.seekable_gzip import STRIDE, GzipReader

THREADS = 4


def survey(path: Path, galaxies: int) -> None:
    """Write a gzipped tar of files that gzip can halve, some 60 kB each."""
    random = np.random.default_rng(0)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for number in range(galaxies):
            content = random.integers(0, 16, 60_000, dtype=np.uint8).tobytes()
            entry = tarfile.TarInfo(f"{number}.npy")
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))


def indexed(path: Path) -> Any:
    """Open a reader with an index of its own, as each of our readers is opened."""
    from indexed_gzip import IndexedGzipFile

    return IndexedGzipFile(str(path), spacing=STRIDE)


class Shared:
    """One reader for all threads behind a lock, whose index is built once."""

    file: ClassVar[Any] = None
    lock: ClassVar[Lock] = Lock()

    def __init__(self, path: Path) -> None:
        type(self).file = self.file or indexed(path)
        self.position = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.position = offset + (self.position if whence == 1 else 0)
        return self.position

    def tell(self) -> int:
        return self.position

    def read(self, size: int = -1) -> bytes:
        with self.lock:
            self.file.seek(self.position)
            part: bytes = self.file.read(size)
        self.position += len(part)
        return part


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(opener: Callable[[Path], Any], path: Path, answers: Any) -> None:
    """Send seconds of CPU: to list, to read all in order, to read 500 at random in threads; and
    MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    places: list[tuple[int, int]] = []

    def listed() -> None:
        with tarfile.open(fileobj=opener(path)) as archive:
            places.extend((entry.offset_data, entry.size) for entry in archive)

    def read(chosen: list[tuple[int, int]]) -> int:
        file, total = opener(path), 0
        for offset, size in chosen:
            file.seek(offset)
            total += len(file.read(size))
        return total

    listing = seconds(listed)
    ordered = seconds(lambda: read(places))
    order = np.random.default_rng(1).permutation(len(places))[:500]
    parts = [[places[row] for row in order[part::THREADS]] for part in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        random = seconds(lambda: list(pool.map(read, parts)))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers.put((listing, ordered, random, (after - before) / 1024))


READERS = {"gzfeatures": GzipReader, "indexed_gzip": indexed, "the same, shared": Shared}


def main() -> None:
    galaxies = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "survey.tar.gz"
        survey(path, galaxies)
        print(f"{galaxies} files of 60 kB, {path.stat().st_size / 2**20:.0f} MB packed")
        print("reader            listed  in order  500 at random  memory")
        for name, opener in READERS.items():
            answers: Any = multiprocessing.get_context("spawn").Queue()
            process = multiprocessing.get_context("spawn").Process(
                target=measure, args=(opener, path, answers)
            )
            process.start()
            listing, ordered, random, memory = answers.get()
            process.join()
            print(f"{name:16} {listing:6.2f} s {ordered:7.2f} s {random:10.2f} s {memory:7.0f} MB")


if __name__ == "__main__":
    main()
