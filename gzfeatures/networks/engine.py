"""Engine: one network made ready for one machine; uint8 pixels in, float32 vectors out.

On a CPU several lanes (threads) run the network side by side, each on a share of the cores: no core waits for another
at every layer, and a lane that is slowed by a decoder holds up no other. On a GPU two lanes, each with a stream of its
own, let the copy of one batch overlap the arithmetic of the other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.fx import symbolic_trace
from torch.fx.experimental.optimization import fuse

from gzfeatures.features.table import Extractor

PER_THREAD, PER_GPU = 8, 256
"""Images of one forward pass: for each thread of a CPU lane, and for a GPU (halved when its memory runs out)."""
MEASURE_FROM = 512
"""Number of images from which measuring the machine (about two seconds) is repaid."""
COMPILE_FROM_SECONDS = 20.0
"""Seconds of plain work from which compiling (4–7 s, then 1.3–1.5 times the rate on 2 cores) is repaid."""


class Engine:
    """A network in eval mode behind its normalisation, batch norms folded, channels last.

    Parameters
    ----------
    network : nn.Module
        From `load.load` with a layer; taken over.
    extractor : Extractor
        Says normalisation and precision.
    device : {"cpu", "cuda"}
    images : int
        How many are to come: decides whether measuring and compiling are repaid.
    batch_size : int, optional
        Images per forward pass; default chosen for the machine.
    say : callable
        Takes one line about each choice made.

    Attributes
    ----------
    batch : int
        Images per forward pass.
    lanes : int
        Threads that may call `vectors` at once.
    """

    def __init__(
        self,
        network: nn.Module,
        extractor: Extractor,
        device: str,
        images: int,
        *,
        batch_size: int | None = None,
        say: Callable[[str], None],
    ) -> None:
        self.device = torch.device(device)
        # traced, so that each engine has code of its own: torch.compile gives up on code shared by many networks
        body: nn.Module = symbolic_trace(_Normalised(fuse(network), extractor)).eval()
        body = body.to(self.device).to(memory_format=torch.channels_last)
        self._eager, self._size, self._bands = body, extractor.view.size, len(extractor.mean)
        self._run: Callable[[torch.Tensor], torch.Tensor] = body
        self._local = threading.local()
        cores = torch.get_num_threads()
        self._split(1, cores, batch_size)
        if images >= MEASURE_FROM:
            rate = self._measure(cores, batch_size, say)
            if images / rate > COMPILE_FROM_SECONDS:
                self._compile(say)

    def _split(self, threads: int, cores: int, batch_size: int | None) -> None:
        """Lanes of so many threads each on a CPU; on a GPU there are two."""
        on_cpu = self.device.type == "cpu"
        self.threads, self.lanes = threads, cores // threads if on_cpu else 2
        self.batch = batch_size or (PER_THREAD * threads if on_cpu else PER_GPU)

    def _measure(self, cores: int, batch_size: int | None, say: Callable[[str], None]) -> float:
        """Try each split of the cores, keep the best, and return its images per second."""
        ways = [n for n in range(1, cores + 1) if cores % n == 0] if self.device.type == "cpu" else [1]
        best, chosen = 0.0, 1
        for threads in ways:
            self._split(threads, cores, batch_size)
            rate = self._rate()
            if rate > 1.1 * best:  # many lanes suffer least from other programs, so fewer must be clearly faster
                best, chosen = rate, threads
        self._split(chosen, cores, batch_size)
        say(
            f"{self.lanes} lanes of {self.threads} threads, {self.batch} images a pass: "
            f"best of {len(ways)} ways measured, {best:.0f} images/s before compiling"
        )
        return best

    def pool(self) -> ThreadPoolExecutor:
        """Lanes to run `vectors` in."""
        return ThreadPoolExecutor(self.lanes, "lane", torch.set_num_threads, (self.threads,))

    def vectors(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Vectors of images.

        Parameters
        ----------
        pixels : ndarray of uint8
            Shape (n, size, size, bands), n at most `batch`. A short batch is padded, so that an image meets the
            same arithmetic alone and in company.

        Returns
        -------
        ndarray of float32
            Shape (n, dim).
        """
        full = np.zeros((self.batch, *pixels.shape[1:]), dtype=np.uint8)
        full[: len(pixels)] = pixels
        with torch.inference_mode():
            images = torch.from_numpy(full)
            result = self._run(images) if self.device.type == "cpu" else self._on_gpu(images)
        return np.asarray(result[: len(pixels)].numpy(), dtype=np.float32)

    def _on_gpu(self, images: torch.Tensor) -> torch.Tensor:
        """Copy from pinned memory and compute on this lane's stream; halve the batch when memory runs out."""
        if not hasattr(self._local, "stream"):
            self._local.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        try:
            with torch.cuda.stream(self._local.stream):
                result = self._run(images.pin_memory().to(self.device, non_blocking=True)).cpu()
            return result
        except torch.cuda.OutOfMemoryError:
            if len(images) == 1:
                raise
            torch.cuda.empty_cache()
        half = len(images) // 2
        return torch.cat([self._on_gpu(images[:half]), self._on_gpu(images[half:])])

    def _rate(self) -> float:
        """Images per second of two passes in every lane at once."""
        blank = np.zeros((self.batch, self._size, self._size, self._bands), dtype=np.uint8)
        with self.pool() as pool:
            list(pool.map(self.vectors, [blank] * self.lanes))
            start = time.perf_counter()
            list(pool.map(self.vectors, [blank] * self.lanes * 2))
            return 2 * self.lanes * self.batch / (time.perf_counter() - start)

    def _compile(self, say: Callable[[str], None]) -> None:
        """Compile for this batch size, in a lane's own thread since the thread count is compiled in."""
        start = time.perf_counter()
        options: dict[str, str | int | bool | Callable[..., object]] = {"freezing": True}
        self._run = torch.compile(self._eager, dynamic=False, options=options)
        try:
            self._rate()
            say(f"compiled in {time.perf_counter() - start:.0f} s")
        except RuntimeError as error:
            self._run = self._eager
            lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            say(f"not compiled, slower but as right: {lines[0][:160]}")


class _Normalised(nn.Module):
    """Network that takes uint8 pixels, channels last, and normalises them in float32."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, extractor: Extractor) -> None:
        super().__init__()
        self.dtype: torch.dtype = getattr(torch, extractor.precision)
        self.network = network.to(self.dtype)
        self.register_buffer("mean", torch.tensor(extractor.mean).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(extractor.std).reshape(-1, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        images = pixels.permute(0, 3, 1, 2).float().div(255).sub(self.mean).div(self.std)
        vectors: torch.Tensor = self.network(images.to(self.dtype))
        return vectors.float()
