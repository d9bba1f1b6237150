"""ImageSet + backbone + Store → EmbeddingTable. What is stored is not computed again."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gzfeatures.errors import GzError, InputError
from gzfeatures.features.backbones import Backbone
from gzfeatures.features.backbones import backbone as backbone_of
from gzfeatures.features.store import Shelf, Store
from gzfeatures.features.table import EmbeddingTable, Extractor, Made
from gzfeatures.features.weights import weights_digest, weights_file
from gzfeatures.images.imageset import ImageSet
from gzfeatures.images.views import View
from gzfeatures.networks import hardware

if TYPE_CHECKING:
    from gzfeatures.networks.engine import Engine

Item = TypeVar("Item")
Result = TypeVar("Result")
Pixels: TypeAlias = npt.NDArray[np.uint8]

SHARD_ROWS, SHARD_SECONDS = 2048, 20.0
"""A shard is written after so many rows or so many seconds: what a killed run can lose."""
ROUNDS = 3
"""How often rows that vanish from the store while a table is made (pruned by another process) are computed again."""


def extractor_of(
    backbone: str | Path | Backbone,
    *,
    weights: str | Path | None = None,
    layer: str | None = None,
    view: View | None = None,
    precision: str = "float32",
) -> Extractor:
    """Everything that decides the vectors; no network is loaded, the weights file is only hashed.

    Parameters
    ----------
    backbone, weights, layer, view
        As for `extract`.
    precision : {"float32", "bfloat16", "float16"}
        Arithmetic of the forward pass.

    Raises
    ------
    UnknownNameError, MissingFileError, WeightsError
        Unknown backbone or layer; weights that cannot be had.
    """
    spec = backbone_of(backbone)
    view, layer = view or spec.view, layer or spec.layer
    path, dim = weights_file(spec, weights), spec.dim
    if path is not None and not path.exists():
        from gzfeatures.networks.load import fetch

        fetch(spec, path)
    if layer != spec.layer:
        from gzfeatures.networks.load import layer_dim

        dim = layer_dim(spec, layer, view.size)
    return Extractor(
        backbone=spec.name,
        architecture=spec.architecture,
        weights=weights_digest(spec, path),
        layer=layer,
        dim=dim,
        view=view,
        mean=spec.mean,
        std=spec.std,
        precision=precision,
        stride_on=spec.stride_on,
        trained_on=spec.trained_on if weights is None else None,
    )


def extract(
    images: ImageSet,
    backbone: str | Path | Backbone = "resnet50",
    *,
    weights: str | Path | None = None,
    layer: str | None = None,
    view: View | None = None,
    precision: str = "auto",
    device: str = "auto",
    on_bad: str = "raise",
    store: Store | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> EmbeddingTable:
    """Vectors of images, computed where the store does not have them.

    Parameters
    ----------
    images : ImageSet
        What to look at.
    backbone : str, Path or Backbone
        Name in `BACKBONES`, a fine-tuned checkpoint folder, or a Backbone.
    weights : str or Path, optional
        A file that replaces the backbone's own weights; "none" for a seeded random start.
    layer : str, optional
        Node whose flattened output is the vector; default the backbone's pooled layer.
    view : View, optional
        Pixels the network sees; default the backbone's.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Arithmetic; part of the store's key. auto follows the hardware, see `hardware.choose`.
    device : {"auto", "cpu", "cuda"}
    on_bad : {"raise", "skip"}
        An image that cannot be read is an error, or left out and listed in `skipped`.
    store : Store, optional
        Default `Store.default()`.
    batch_size, workers : int, optional
        Images per forward pass and decoding threads; chosen for the machine by default.
    progress : bool
        Show progress, rate and remaining time on stderr.

    Returns
    -------
    EmbeddingTable
        One row per image that could be read, in the order of `images`.

    Raises
    ------
    InputError
        An image is bad and `on_bad="raise"`; what was computed before stays in the store.
    UnknownNameError, MissingFileError, WeightsError, OutputError
        Unknown name; weights that cannot be had; a store that cannot be written.
    """
    start = time.perf_counter()
    if on_bad not in ("raise", "skip"):
        raise InputError("on_bad", rule="be raise or skip", found=on_bad)
    spec = backbone_of(backbone)
    machine = hardware.choose(device, precision)
    extractor = extractor_of(spec, weights=weights, layer=layer, view=view, precision=machine.precision)
    shelf = (store or Store.default()).shelf(extractor)
    job = _Job(images, extractor, shelf, on_bad == "raise", workers or os.cpu_count() or 1, progress)
    job.look()
    for _ in range(ROUNDS):
        todo = job.absent()
        if not len(todo):
            break

        def engine(count: int = len(todo)) -> Engine:
            from gzfeatures.networks.engine import Engine
            from gzfeatures.networks.load import load

            job.say(machine.why)
            network = load(spec, weights, extractor.layer)
            return Engine(network, extractor, machine.device, count, batch_size=batch_size, say=job.say)

        job.compute(todo, engine)
    shelf.compact()
    return job.table(time.perf_counter() - start)


class _Job:
    """One extraction: which rows are good, which are stored, and computing the rest."""

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
        self.console.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)

    def look(self) -> None:
        """Read every image once for its digest."""
        with ThreadPoolExecutor(self.workers) as pool:
            for row, found in enumerate(pool.map(self._digest, range(len(self.images)))):
                if isinstance(found, GzError):
                    if self.strict:
                        raise found
                    self.unread[row] = found
                self.digests[row] = None if isinstance(found, GzError) else found

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
        _, first = np.unique(self.digests[rows].astype(str), return_index=True)
        return np.asarray(rows[np.sort(first)], dtype=np.int64)

    def compute(self, todo: npt.NDArray[np.int64], make: Callable[[], Engine]) -> None:
        """Decode, run the network and store, shard by shard; the network is made once an image was decoded."""
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
        keys: list[str] = []
        parts: list[npt.NDArray[np.float32]] = []

        def flush() -> None:
            full, rows = list(keys), list(parts)
            keys.clear()
            parts.clear()
            if full:
                self.shelf.add(full, np.concatenate(rows))
                self.computed += len(full)

        with (
            ThreadPoolExecutor(self.workers, "decode") as decoders,
            Progress(TextColumn(self.extractor.backbone), *columns, console=self.console) as bar,
        ):
            task = bar.add_task("", total=len(todo), rate="")
            decoded = self._decodable(_ahead(decoders, self._pixels, todo, 64 + 4 * self.workers), bar, task)
            first = next(decoded, None)
            if first is not None:
                engine = make()
                start = flushed = time.perf_counter()
                batches = _batches(chain([first], decoded), engine.batch)
                with engine.pool() as lanes:
                    try:
                        for names, vectors in _ahead(lanes, partial(_vectors, engine), batches, engine.lanes + 1):
                            keys += names
                            parts.append(vectors)
                            now = time.perf_counter()
                            bar.advance(task, len(names))
                            bar.update(task, rate=f"{(self.computed + len(keys)) / (now - start):.0f} images/s")
                            if len(keys) >= SHARD_ROWS or now - flushed > SHARD_SECONDS:
                                flush()
                                flushed = now
                    finally:
                        flush()
                        self.seconds += time.perf_counter() - start
        if self.strict and self.undecoded:
            raise next(iter(self.undecoded.values()))

    def table(self, seconds: float) -> EmbeddingTable:
        """Gather all rows from the store."""
        kept = self.good()
        reasons = {row: error.message for row, error in self.unread.items()}
        for row, key in enumerate(self.digests):
            if key in self.undecoded:
                reasons[row] = self.undecoded[key].message
        skipped = tuple((str(self.images.ids[row]), reasons[row]) for row in sorted(reasons))
        rate = self.computed / self.seconds if self.computed else 0.0
        made = Made(self.computed, len(kept) - self.computed, seconds, rate)
        return EmbeddingTable(
            self.images.ids[kept],
            self.digests[kept],
            self.shelf.vectors(self.digests[kept]),
            self.extractor,
            skipped,
            made,
        )

    def _digest(self, row: int) -> str | GzError:
        try:
            return self.images.digest(row)
        except GzError as error:
            return error

    def _pixels(self, row: int) -> tuple[str, Pixels | GzError]:
        try:
            return self.digests[row], self.images.pixels(int(row), self.extractor.view)
        except GzError as error:
            return self.digests[row], error

    def _decodable(
        self, decoded: Iterable[tuple[str, Pixels | GzError]], bar: Progress, task: TaskID
    ) -> Iterator[tuple[str, Pixels]]:
        """Images that could be decoded; the first that could not ends a strict job."""
        for key, pixels in decoded:
            if not isinstance(pixels, GzError):
                yield key, pixels
                continue
            self.undecoded[key] = pixels
            bar.advance(task)
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
