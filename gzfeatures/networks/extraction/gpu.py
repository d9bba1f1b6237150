"""Run networks on the CUDA devices (GPUs) of this machine.

Whole decoded pictures are copied to the GPU (uint8, from pinned memory), then cropped, resized and
normalised there. Each GPU has two workers with a CUDA stream each, so that one copies while the
other computes. The fastest batch size is measured; a batch that does not fit into memory is halved.
"""

from __future__ import annotations

import copy
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import nn

from gzfeatures.images.galaxy_files import NetworkInput
from gzfeatures.networks.extraction.cpu import blank
from gzfeatures.networks.extraction.network_crops import batch_views
from gzfeatures.networks.extraction.plan import ForwardPlan, Vectors, tables_of, views_of

SMALLEST, LARGEST = 64, 2048
"""Number of images in the smallest and in the largest batch whose speed is measured."""
COMPILE_FROM_SECONDS = 120.0
"""Estimated seconds of work from which on compiling is worthwhile."""


class GpuEngine:
    """Run networks on all CUDA devices (GPUs) of this machine.

    Parameters
    ----------
    work : sequence of (ForwardPlan, nn.Module)
        Forward passes to compute, each with its network from `forward.ready`.
    images : int
        Expected number of images: decides whether compiling is repaid.
    batch_size : int, optional
        Images per forward pass; default the fastest of the powers of two that fit.
    say : callable
        Prints one line of text about each choice made.
    """

    def __init__(
        self,
        work: Sequence[tuple[ForwardPlan, nn.Module]],
        images: int,
        *,
        batch_size: int | None = None,
        say: Callable[[str], None],
    ) -> None:
        self._tasks = [task for task, _ in work]
        self._views = views_of(task.extractor for task in self._tasks)
        self._devices = [
            torch.device("cuda", number) for number in range(torch.cuda.device_count())
        ]
        self._networks: list[list[Callable[[torch.Tensor], torch.Tensor]]] = [
            [copy.deepcopy(network).to(device) for _, network in work] for device in self._devices
        ]
        # two workers per GPU: while one computes, the other copies its images to the GPU
        self.workers = 2 * len(self._devices)
        self._numbers, self._local = itertools.count(), threading.local()
        self.batch, rate = (batch_size, self._rate(batch_size)) if batch_size else self._fastest()
        say(
            f"{len(self._devices)} GPUs, {self.batch} images per batch, "
            f"{rate:.0f} images/s on each before compiling"
        )
        if images / rate / len(self._devices) > COMPILE_FROM_SECONDS:
            self._networks = [
                [torch.compile(network, dynamic=False) for network in networks]
                for networks in self._networks
            ]

    def pool(self) -> ThreadPoolExecutor:
        """Return a pool of worker threads, two per GPU, in which `vectors` may be called."""
        return ThreadPoolExecutor(self.workers, "worker")

    def vectors(self, images: Sequence[NetworkInput]) -> list[Vectors]:
        """Return the embeddings of n images: an array (n, dim) per network and layer."""
        if not hasattr(self._local, "number"):
            self._local.number = next(self._numbers) % len(self._devices)
            device = self._devices[self._local.number]
            self._local.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # repeat the last image to fill a short batch: compiled code would be compiled again for
        # another batch size
        full = [*images, *[images[-1]] * (self.batch - len(images))]
        joined = zip(self._tasks, self._joined(full), strict=True)
        return tables_of((task, vectors[: len(images)]) for task, vectors in joined)

    def _joined(self, images: Sequence[NetworkInput]) -> list[Vectors]:
        """Run all networks on a batch; if the GPU's memory is full, run each half by itself."""
        networks = zip(self._tasks, self._networks[self._local.number], strict=True)
        try:
            with torch.inference_mode(), torch.cuda.stream(self._local.stream):
                views = batch_views(images, self._views, self._devices[self._local.number])
                return [network(views[task.view]).cpu().numpy() for task, network in networks]
        except torch.cuda.OutOfMemoryError:
            if len(images) == 1:
                raise
            torch.cuda.empty_cache()
        half = len(images) // 2
        parts = [self._joined(images[:half]), self._joined(images[half:])]
        return [np.concatenate(both) for both in zip(*parts, strict=True)]

    def _fastest(self) -> tuple[int, float]:
        """Double the batch size while this is faster; return batch size and images per second."""
        batch, rate = SMALLEST, self._rate(SMALLEST)
        while batch < LARGEST:
            try:
                next_rate = self._rate(2 * batch)
            except torch.cuda.OutOfMemoryError:
                torch.cuda.empty_cache()
                break
            if next_rate < 1.03 * rate:
                break
            batch, rate = 2 * batch, next_rate
        return batch, rate

    def _rate(self, batch: int) -> float:
        """Measure images per second on the first GPU, on black images instead of decoded files."""
        views = batch_views(blank(self._tasks, batch), self._views, self._devices[0])
        with torch.inference_mode():
            # time only the second round, because the first one loads code onto the GPU
            for timed in (False, True):
                torch.cuda.synchronize(self._devices[0])
                start = time.perf_counter()
                for _ in range(3 if timed else 1):
                    for task, network in zip(self._tasks, self._networks[0], strict=True):
                        network(views[task.view])
                torch.cuda.synchronize(self._devices[0])
        return 3 * batch / (time.perf_counter() - start)
