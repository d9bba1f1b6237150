"""Job: the steps of one extraction: look at the images, compute what is not stored, gather the table."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gzfeatures.errors import GzError
from gzfeatures.features.shard import as_keys
from gzfeatures.features.store import Shelf
from gzfeatures.features.table import GROUP_ROWS, EmbeddingTable, Extractor, Made, TableFile, writer
from gzfeatures.images.imageset import ImageSet

if TYPE_CHECKING:
    from gzfeatures.networks.engine import Engine

Item = TypeVar("Item")
Result = TypeVar("Result")
Pixels: TypeAlias = npt.NDArray[np.uint8]

LOOK_ROWS = 128
"""Images that a thread reads for their digests at a time."""
SHARD_ROWS, SHARD_SECONDS = 2048, 20.0
"""A shard is written after so many rows or so many seconds: what a killed run can lose."""


class Job:
    """One extraction: which rows are good, which are stored, and computing the rest.

    Parameters
    ----------
    images : ImageSet
    extractor : Extractor
    shelf : Shelf
        Where the extractor's vectors are kept.
    strict : bool
        The first bad image is an error.
    workers : int
        Reading and decoding threads.
    progress : bool
        Show progress on stderr.
    """

    def __init__(
        self, images: ImageSet, extractor: Extractor, shelf: Shelf, strict: bool, workers: int, progress: bool
    ) -> None:
        self.images, self.extractor, self.shelf, self.strict, self.workers = images, extractor, shelf, strict, workers
        self.console = Console(stderr=True, quiet=not progress)
        self.digests = np.empty(len(images), dtype=object)
        self.unread: dict[int, GzError] = {}
        self.undecoded: dict[str, GzError] = {}
        self.computed, self.seconds = 0, 0.0

    def say(self, line: str) -> None:
        """One line to the user, on stderr."""
        self.console.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)

    def look(self) -> None:
        """Read every image once for its digest."""
        total = len(self.images)
        blocks = [range(start, min(start + LOOK_ROWS, total)) for start in range(0, total, LOOK_ROWS)]
        with ThreadPoolExecutor(self.workers) as pool, self.counted(total, "images looked at") as advance:
            for rows, found in zip(blocks, _ahead(pool, self._digests, blocks, 4 * self.workers), strict=True):
                for row, digest in zip(rows, found, strict=True):
                    if not isinstance(digest, GzError):
                        self.digests[row] = digest
                    elif self.strict:
                        raise digest
                    else:
                        self.unread[row] = digest
                advance(len(rows))

    def good(self) -> npt.NDArray[np.int64]:
        """Rows that could be read and, as far as known, decoded."""
        rows = (row for row, key in enumerate(self.digests) if key is not None and key not in self.undecoded)
        return np.fromiter(rows, dtype=np.int64)

    def absent(self) -> npt.NDArray[np.int64]:
        """Good rows without a stored vector, one for each different image."""
        good = self.good()
        rows = good[~self.shelf.has(self.digests[good])]
        while self.shelf.damaged:
            self.say(f"store: damaged shard set aside, its rows are computed again: {self.shelf.damaged.pop()}")
        _, first = np.unique(as_keys(self.digests[rows]), return_index=True)
        return np.asarray(rows[np.sort(first)], dtype=np.int64)

    def compute(self, todo: npt.NDArray[np.int64], make: Callable[[], Engine]) -> None:
        """Decode, run the network and store, shard by shard; the network is made once an image was decoded."""
        with (
            ThreadPoolExecutor(self.workers, "decode") as decoders,
            self.counted(len(todo), self.extractor.backbone) as advance,
        ):
            decoded = self._decodable(_ahead(decoders, self._pixels, todo, 64 + 4 * self.workers), advance)
            first = next(decoded, None)
            if first is not None:
                engine = make()
                start = flushed = time.perf_counter()
                keys: list[str] = []
                parts: list[npt.NDArray[np.float32]] = []
                batches = _batches(chain([first], decoded), engine.batch)
                with engine.pool() as lanes:
                    try:
                        for names, vectors in _ahead(lanes, partial(_vectors, engine), batches, engine.lanes + 1):
                            keys += names
                            parts.append(vectors)
                            advance(len(names))
                            if len(keys) >= SHARD_ROWS or time.perf_counter() - flushed > SHARD_SECONDS:
                                self._flush(keys, parts)
                                flushed = time.perf_counter()
                    finally:
                        self._flush(keys, parts)
                        self.seconds += time.perf_counter() - start
        self.judge()

    def judge(self) -> None:
        """Raise for the first image that could not be decoded, if the job is strict."""
        if self.strict and self.undecoded:
            raise next(iter(self.undecoded.values()))

    @contextmanager
    def counted(self, total: int, name: str) -> Iterator[Callable[[int], None]]:
        """Progress over `total` images with rate and remaining time; yields what to call with a number done."""
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
        with Progress(TextColumn(name, markup=False), *columns, console=self.console) as bar:
            task = bar.add_task("", total=total, rate="")

            def advance(number: int) -> None:
                bar.advance(task, number)
                bar.update(task, rate=f"{bar.tasks[task].speed or 0:.0f} images/s")

            yield advance

    def _flush(self, keys: list[str], parts: list[npt.NDArray[np.float32]]) -> None:
        """Store a shard. The lists are emptied first, so that rows a full disk refused are not offered again."""
        full, rows = list(keys), list(parts)
        keys.clear()
        parts.clear()
        if full:
            self.shelf.add(full, np.concatenate(rows))
            self.computed += len(full)

    def table(self, start: float) -> EmbeddingTable:
        """All rows in memory; `start` is when the extraction began (`time.perf_counter`)."""
        kept, digests = self._kept()
        table = EmbeddingTable(
            self.images.ids[kept], digests, self.shelf.vectors(digests), self.extractor, self._skipped()
        )
        return dataclasses.replace(table, made=self._made(len(kept), start))

    def write(self, path: Path, start: float) -> TableFile:
        """All rows to a file, a row group at a time."""
        kept, digests = self._kept()
        with writer(path, self.extractor, self._skipped()) as append:
            for first in range(0, len(kept), GROUP_ROWS):
                part = slice(first, first + GROUP_ROWS)
                append(self.images.ids[kept[part]], digests[part], self.shelf.vectors(digests[part]))
        return TableFile(path, self._made(len(kept), start))

    def _kept(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.object_]]:
        good = self.good()
        return good, self.digests[good]

    def _skipped(self) -> tuple[tuple[str, str], ...]:
        reasons = {row: error.message for row, error in self.unread.items()}
        for row, key in enumerate(self.digests):
            if key in self.undecoded:
                reasons[row] = self.undecoded[key].message
        return tuple((str(self.images.ids[row]), reasons[row]) for row in sorted(reasons))

    def _made(self, rows: int, start: float) -> Made:
        rate = self.computed / self.seconds if self.computed else 0.0
        return Made(self.computed, rows - min(self.computed, rows), time.perf_counter() - start, rate)

    def _digests(self, rows: range) -> list[str | GzError]:
        return [self._digest(row) for row in rows]

    def _digest(self, row: int) -> str | GzError:
        try:
            return self.images.digest(row)
        except GzError as error:
            return error

    def _pixels(self, row: int) -> tuple[str, Pixels | GzError]:
        try:
            return self.digests[row], self.images.pixels(int(row), self.extractor.view, digest=self.digests[row])
        except GzError as error:
            return self.digests[row], error

    def _decodable(
        self, decoded: Iterable[tuple[str, Pixels | GzError]], advance: Callable[[int], None]
    ) -> Iterator[tuple[str, Pixels]]:
        """Images that could be decoded; the first that could not ends a strict job."""
        for key, pixels in decoded:
            if not isinstance(pixels, GzError):
                yield key, pixels
                continue
            self.undecoded[key] = pixels
            advance(1)
            if self.strict:
                return


def _vectors(engine: Engine, batch: list[tuple[str, Pixels]]) -> tuple[list[str], npt.NDArray[np.float32]]:
    return [key for key, _ in batch], engine.vectors(np.stack([pixels for _, pixels in batch]))


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], limit: int
) -> Iterator[Result]:
    """Results in order, of at most `limit` calls begun at any time."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= limit:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while batch := list(islice(items, size)):
        yield batch
