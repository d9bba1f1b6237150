"""Run networks on the CPU cores of one machine: pixels go in, embeddings come out.

Several workers (Python threads) run the networks side by side, each on a share of the cores. So not
all cores wait for each other at every layer, and a worker that is slowed by the decoding of images
does not delay the others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol

import numpy as np
import torch

from gzfeatures.images.galaxy_files import NetworkInput
from gzfeatures.networks.extraction.forward import Forward, Threading
from gzfeatures.networks.extraction.network_crops import batch_views
from gzfeatures.networks.extraction.plan import ForwardPlan, Vectors, tables_of, views_of

PER_THREAD = 8
"""Images per forward pass, for each thread of a worker."""
MEASURE_FROM = 512
"""Number of images from which on two seconds of measuring the machine's speed are repaid."""


class Engine(Protocol):
    """Define the methods of a CPU or GPU engine, which turns pixels of images into embeddings."""

    batch: int
    """Largest number of images in one call of `vectors`."""
    workers: int
    """Number of threads that may call `vectors` at the same time."""

    def pool(self) -> ThreadPoolExecutor:
        """Return a pool of threads in which `vectors` may be called in parallel."""

    def vectors(self, images: Sequence[NetworkInput]) -> list[Vectors]:
        """Return the embeddings of n images: an array (n, dim) per network and layer."""


class CpuEngine:
    """Run networks on the CPU cores of this machine, in several parallel workers (threads).

    Parameters
    ----------
    work : sequence of (ForwardPlan, Forward)
        Forward passes to compute, each with its network.
    images : int
        Expected number of images: decides whether measuring and compiling are repaid.
    batch_size : int, optional
        Images per forward pass; by default 8 for each thread of a worker.
    say : callable
        Prints one line of text about each choice made.
    """

    def __init__(
        self,
        work: Sequence[tuple[ForwardPlan, Forward]],
        images: int,
        *,
        batch_size: int | None = None,
        say: Callable[[str], None],
    ) -> None:
        self._work, self._views = work, views_of(task.extractor for task, _ in work)
        cores = torch.get_num_threads()
        threadings = [
            Threading(cores // threads, threads, batch_size or PER_THREAD * threads)
            for threads in range(1, cores + 1)
            if cores % threads == 0
        ]
        self._set(threadings[0])
        # an earlier run measured which division of the cores among workers is fastest, and compiled
        # all networks for this division: reuse both
        kept = set(threadings).intersection(*(forward.compiled_for() for _, forward in work))
        if kept:
            self._set(max(kept))
            self._each("compile")
            return
        seconds = images / self._fastest(threadings, say) if images >= MEASURE_FROM else 0.0
        self._each("prepare")
        self._each("compile", seconds)

    def pool(self) -> ThreadPoolExecutor:
        """Return a pool of worker threads, each with its share of the CPU cores for PyTorch."""
        threads = self.threading.threads
        return ThreadPoolExecutor(self.workers, "worker", torch.set_num_threads, (threads,))

    def vectors(self, images: Sequence[NetworkInput]) -> list[Vectors]:
        """Return the embeddings of n images: an array (n, dim) per network and layer."""
        views = batch_views(images, self._views, torch.device("cpu"))
        return tables_of(
            (task, forward.run(views[task.view].numpy())) for task, forward in self._work
        )

    def _set(self, threading: Threading) -> None:
        self.threading = threading
        self.workers, self.batch = threading.workers, threading.batch

    def _each(self, step: Literal["prepare", "compile"], seconds: float = math.inf) -> None:
        """Make each network ready to run, in a worker thread; "prepare" does not compile it."""
        # compiled code keeps the thread count of the thread that compiled it, so compile in a
        # worker, which has the right count; skip networks for which compiling takes longer than it
        # saves
        with self.pool() as pool:
            for _, forward in self._work:
                if step == "prepare" or seconds >= forward.compile_from:
                    pool.submit(getattr(forward, step), self.threading).result()

    def _fastest(self, threadings: Sequence[Threading], say: Callable[[str], None]) -> float:
        """Measure several ways to divide cores among workers; use the fastest, return images/s."""
        best, chosen = 0.0, threadings[0]
        for threading in threadings:
            self._set(threading)
            self._each("prepare")
            rate = self._rate()
            # keep more workers unless fewer are clearly faster: more workers lose less speed when
            # other programs use the CPU
            if rate > 1.1 * best:
                best, chosen = rate, threading
        self._set(chosen)
        say(
            f"{chosen.workers} workers of {chosen.threads} threads, "
            f"{chosen.batch} images per batch: "
            f"best of {len(threadings)} combinations measured, {best:.0f} images/s before compiling"
        )
        return best

    def _rate(self) -> float:
        """Measure images per second while all workers run the networks in parallel."""
        images = blank([task for task, _ in self._work], self.batch)
        with self.pool() as pool:
            list(pool.map(self.vectors, [images] * self.workers))
            start = time.perf_counter()
            list(pool.map(self.vectors, [images] * self.workers * 2))
            return 2 * self.workers * self.batch / (time.perf_counter() - start)


def blank(tasks: Sequence[ForwardPlan], images: int) -> list[NetworkInput]:
    """Return black images of the sizes that the networks expect, for measuring their speed."""
    bands = {task.extractor.view: len(task.extractor.mean) for task in tasks}
    return [
        tuple(np.zeros((view.size, view.size, n), dtype=np.uint8) for view, n in bands.items())
    ] * images
