"""Claim: images are decoded only so far ahead of the network, however slow it is: memory does not
grow with them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction import extract, fill
from gzfeatures.networks.extraction.jobs import job
from gzfeatures.networks.extraction.jobs.job import Job

BATCH, NETWORK_WORKERS, WORKERS = 8, 2, 2


class Lazy(Future[Any]):
    """Work that is done when it is waited for, and no earlier."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self.work = work

    def result(self, timeout: float | None = None) -> Any:
        return self.work()


class Idle(ThreadPoolExecutor):
    """Threads that never run by themselves."""

    def submit(self, function: Any, /, *words: Any, **named: Any) -> Future[Any]:
        return Lazy(lambda: function(*words, **named))


class SlowestNetwork:
    """A network that begins a batch when nothing else can go on, once all decoders have come to
    rest.

    What is held then is the most that can be held, on every machine and at every speed.
    """

    batch, workers = BATCH, NETWORK_WORKERS

    def __init__(self, pictures: Pictures, dim: int) -> None:
        self.pictures, self.dim = pictures, dim

    def pool(self) -> ThreadPoolExecutor:
        return Idle(NETWORK_WORKERS)

    def vectors(self, images: Sequence[Any]) -> list[np.ndarray]:
        wait(self.pictures.begun)
        self.pictures.held.append(self.pictures.decoded - self.pictures.computed)
        self.pictures.computed += len(images)
        return [np.zeros((len(images), self.dim), dtype=np.float32)]


class Pictures:
    """Counts of pictures decoded and computed, and of those in between each time the network is
    called."""

    def __init__(self) -> None:
        self.begun: list[Future[Any]] = []
        self.held: list[int] = []
        self.decoded = self.computed = 0


def most_held(folder: Path, number: int, patch: pytest.MonkeyPatch) -> int:
    """The most pictures that are decoded and wait for the network, of an extraction of so many."""
    folder.mkdir()
    rng = np.random.default_rng(
        number
    )  # no picture is one of another extraction, whose vectors are kept
    for name in range(number):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(
            folder / f"g{name:03}.png"
        )
    pictures, lock, decode = Pictures(), threading.Lock(), Job._network_input

    class Decoders(ThreadPoolExecutor):
        def submit(self, function: Any, /, *words: Any, **named: Any) -> Future[Any]:
            pictures.begun.append(super().submit(function, *words, **named))
            return pictures.begun[-1]

    def network_input(self: Job, row: int) -> Any:
        pixels = decode(self, row)
        with lock:
            pictures.decoded += 1
        return pixels

    patch.setattr(job, "ThreadPoolExecutor", Decoders)
    patch.setattr(Job, "_network_input", network_input)
    patch.setattr(
        fill, "engine_of", lambda how, job, images: SlowestNetwork(pictures, job.extractors[0].dim)
    )
    table = extract.extract(
        ImageSet.of(folder), "resnet18", weights="none", view=View(size=32), device="cpu",
        workers=WORKERS,
        progress=False,
    )  # fmt: skip
    assert len(table) == pictures.decoded == pictures.computed == number
    return max(pictures.held)


def test_a_slow_network_is_not_run_over_by_its_decoders(tmp_path: Path) -> None:
    found = []
    for number in (240, 480):
        with pytest.MonkeyPatch.context() as patch:
            found.append(most_held(tmp_path / str(number), number, patch))
    assert found[0] == found[1]  # twice the images take no more memory
    assert BATCH * NETWORK_WORKERS <= found[0] <= 64 + 4 * WORKERS + (NETWORK_WORKERS + 2) * BATCH
