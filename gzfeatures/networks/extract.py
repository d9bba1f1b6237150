"""ImageSet + backbone + Store → EmbeddingTable. What is stored is not computed again."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gzfeatures.errors import GzError, InputError
from gzfeatures.features.backbones import Backbone
from gzfeatures.features.backbones import backbone as backbone_of
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable, Extractor, Made
from gzfeatures.features.weights import weights_digest, weights_file
from gzfeatures.images.imageset import ImageSet
from gzfeatures.images.views import View
from gzfeatures.networks import hardware

SHARD_ROWS, SHARD_SECONDS = 2048, 20.0
"""A shard is written after so many rows or so many seconds: what a killed run can lose."""


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
    console = Console(stderr=True, quiet=not progress)
    machine = hardware.choose(device, precision)
    console.print(machine.why)
    extractor = extractor_of(backbone, weights=weights, layer=layer, view=view, precision=machine.precision)
    shelf = (store or Store.default()).shelf(extractor)
    skipped: dict[int, str] = {}
    digests = np.empty(len(images), dtype=object)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for row, digest in enumerate(pool.map(lambda row: _digest(images, row), range(len(images)))):
            if isinstance(digest, GzError):
                if on_bad == "raise":
                    raise digest
                skipped[row] = digest.message
            else:
                digests[row] = digest
        good = np.asarray([row for row in range(len(images)) if row not in skipped], dtype=np.int64)
        absent = good[~shelf.has(digests[good])]
        _, first = np.unique(digests[absent].astype(str), return_index=True)
        todo = absent[np.sort(first)]
        computed, ready = 0, time.perf_counter()
        if len(todo):
            from gzfeatures.networks.engine import Engine
            from gzfeatures.networks.load import load

            engine = Engine(load(backbone_of(backbone), weights, extractor.layer), extractor, machine.device)
            ready = time.perf_counter()
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            keys: list[str] = []
            rows: list[npt.NDArray[np.float32]] = []
            with Progress(*columns, console=console) as bar:
                task = bar.add_task(extractor.backbone, total=len(todo))
                try:
                    for batch in _batches(_decoded(pool, images, todo, extractor.view), batch_size or 32):
                        fine = [(row, pixels) for row, pixels in batch if not isinstance(pixels, GzError)]
                        for row, pixels in batch:
                            if isinstance(pixels, GzError):
                                if on_bad == "raise":
                                    raise pixels
                                skipped[row] = pixels.message
                        if fine:
                            rows.append(engine.vectors(np.stack([pixels for _, pixels in fine])))
                            keys += [digests[row] for row, _ in fine]
                            computed += len(fine)
                        bar.advance(task, len(batch))
                finally:
                    if keys:
                        shelf.add(keys, np.concatenate(rows))
    kept = np.asarray([row for row in range(len(images)) if row not in skipped], dtype=np.int64)
    shelf.has(digests[kept])
    now = time.perf_counter()
    return EmbeddingTable(
        images.ids[kept],
        digests[kept],
        shelf.vectors(digests[kept]),
        extractor,
        tuple((str(images.ids[row]), reason) for row, reason in sorted(skipped.items())),
        Made(computed, len(kept) - computed, now - start, computed / (now - ready) if computed else 0.0),
    )


def _digest(images: ImageSet, row: int) -> str | GzError:
    try:
        return images.digest(row)
    except GzError as error:
        return error


def _pixels(images: ImageSet, row: int, view: View) -> npt.NDArray[np.uint8] | GzError:
    try:
        return images.pixels(row, view)
    except GzError as error:
        return error


def _decoded(
    pool: ThreadPoolExecutor, images: ImageSet, rows: npt.NDArray[np.int64], view: View, ahead: int = 128
) -> Iterator[tuple[int, Any]]:
    """Decode rows in the pool, at most `ahead` beyond the one handed out."""
    waiting: deque[tuple[int, Future[Any]]] = deque()
    for row in rows:
        waiting.append((int(row), pool.submit(_pixels, images, int(row), view)))
        if len(waiting) > ahead:
            number, future = waiting.popleft()
            yield number, future.result()
    for number, future in waiting:
        yield number, future.result()


def _batches(items: Iterator[tuple[int, Any]], size: int) -> Iterator[list[tuple[int, Any]]]:
    batch: list[tuple[int, Any]] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
