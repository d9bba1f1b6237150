"""Run one network on a CPU in PyTorch: uint8 pixels go in, float32 embeddings come out.

It runs eagerly at first. Where many images are to come it is compiled ahead of time (AOTInductor:
convolutions packed for this CPU, activations fused into them), and stays in the user's folder of
code, compiled, for the next run.
"""

from __future__ import annotations

import abc
import dataclasses
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.fx import symbolic_trace

from gzfeatures import fingerprint
from gzfeatures.errors import OutputError
from gzfeatures.features.extractor import Extractor
from gzfeatures.networks._compat_torch import fold_batch_norms
from gzfeatures.networks.compilation.code_folder import NAMED, CodeFolder
from gzfeatures.networks.compilation.compiled import Compiled, compile_ahead
from gzfeatures.networks.extraction.plan import Pixels, Vectors
from gzfeatures.networks.extraction.preprocess import dihedral_views

SYMMETRIES = 8
"""Number of mirror images and quarter turns over which a dihedral mean is taken."""


@dataclasses.dataclass(frozen=True, order=True)
class Threading:
    """Hold how a CPU is shared: number of workers, threads of each, images per forward pass."""

    workers: int
    threads: int
    batch: int


class Forward(abc.ABC):
    """Run a network in several workers, after it is prepared or compiled.

    Parameters
    ----------
    make : callable
        Gives the network, from `load.load` with a layer; called when it is needed.
    extractor : Extractor
        Says normalisation, precision and symmetries.
    code : CodeFolder
        Where compiled networks are stored, a file for each threading. What this user did not write
        for this very network, version and machine is not loaded: it is machine code.
    say : callable
        Takes one line about each choice made.
    """

    compile_from: float
    """Seconds of work above which `compile` is worthwhile."""
    suffix: str
    """Ending of the files with compiled code."""

    def __init__(
        self,
        make: Callable[[], nn.Module],
        extractor: Extractor,
        code: CodeFolder,
        say: Callable[[str], None],
    ) -> None:
        self._make, self._extractor, self._code, self._say = make, extractor, code, say
        self._stem = f"{extractor.fingerprint[:NAMED]}-{fingerprint.of(self._library())[:8]}"
        self._shape = (extractor.view.size, extractor.view.size, len(extractor.mean))
        self._size = 1

    def compiled_for(self) -> set[Threading]:
        """Return the numbers of workers and threads for which a compiled network is stored."""
        pattern = re.compile(rf"{self._stem}-(\d+)-(\d+)-(\d+){re.escape(self.suffix)}", re.ASCII)
        return {
            Threading(*map(int, match.groups()))
            for match in map(pattern.fullmatch, self._code.names())
            if match
        }

    @abc.abstractmethod
    def prepare(self, threading: Threading) -> None:
        """Prepare the network quickly, without compiling."""

    @abc.abstractmethod
    def compile(self, threading: Threading) -> None:
        """Prepare the network for fast runs: load stored code of an earlier run, or compile."""

    def run(self, pixels: Pixels) -> Vectors:
        """Return vectors (n, dim) for pixels (n, size, size, bands).

        They are computed a batch at a time. A short batch is padded with black images, so that the
        arithmetic, and the last digits, are the same in any batch.
        """
        parts = []
        for start in range(0, len(pixels), self._size):
            part = pixels[start : start + self._size]
            full = (
                np.zeros((self._size, *self._shape), dtype=np.uint8)
                if len(part) < self._size
                else part
            )
            full[: len(part)] = part
            parts.append(self._embed(full)[: len(part)])
        return np.concatenate(parts)

    @abc.abstractmethod
    def _library(self) -> str:
        """Return name and version of the library that compiles."""

    @abc.abstractmethod
    def _embed(self, pixels: Pixels) -> Vectors:
        """Return the embeddings of one batch of images."""

    def _name(self, threading: Threading) -> str:
        return (
            f"{self._stem}-{threading.workers}-{threading.threads}-{threading.batch}{self.suffix}"
        )

    def _bound(self, threading: Threading) -> dict[str, Any]:
        """Return everything that compiled code depends on, besides the machine."""
        # weights need no entry, because the fingerprint of the extractor includes them
        fields = {
            "extractor": self._extractor.fingerprint,
            "library": self._library(),
            "file": self.suffix,
        }
        return fields | dataclasses.asdict(threading)

    def _stored(self, threading: Threading) -> bytes | None:
        """Return stored code that was compiled for a number of workers and threads, or None."""
        return self._code.read(self._name(threading), self._bound(threading))

    def _store(self, threading: Threading, code: bytes) -> str:
        """Store compiled code, and return in a few words whether the next run can use it."""
        try:
            self._code.write(self._name(threading), self._bound(threading), code)
        except OutputError as error:
            return f"not kept: {error}"
        return "kept for the next run"

    def _images(self, threading: Threading) -> int:
        """Return how many images a forward pass takes, where each may need 8 turned copies."""
        return (
            max(1, threading.batch // SYMMETRIES) if self._extractor.dihedral else threading.batch
        )


class Body(nn.Module):
    """Normalise uint8 pixels (channels last), run a network on them, and return float32 vectors."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, extractor: Extractor, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype, self.dihedral = dtype, extractor.dihedral
        self.network = network.to(dtype)
        self.register_buffer("mean", torch.tensor(extractor.mean).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(extractor.std).reshape(-1, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return vectors (n, dim) for pixels (n, size, size, bands)."""
        images = pixels.permute(0, 3, 1, 2).float().div(255).sub(self.mean).div(self.std)
        if self.dihedral:
            images = torch.cat(dihedral_views(images))
        vectors: torch.Tensor = self.network(images.to(self.dtype)).float().contiguous()
        return (
            vectors.reshape(SYMMETRIES, -1, vectors.shape[1]).mean(0) if self.dihedral else vectors
        )


def ready(network: nn.Module, extractor: Extractor, dtype: torch.dtype | None = None) -> nn.Module:
    """Return a network with normalisation of its input, and batch norms folded into its layers."""
    # use memory with channels last in the end, which makes convolutions faster
    body = Body(fold_batch_norms(network), extractor, dtype or getattr(torch, extractor.precision))
    # trace each network, so that it has its own Python code: torch.compile fails on code that many
    # networks share
    return symbolic_trace(body).eval().to(memory_format=torch.channels_last)


class TorchForward(Forward):
    """Run a network in PyTorch, eagerly at first, and compiled if that is worthwhile."""

    compile_from, suffix = 20.0, ".so"
    _body: nn.Module | None = None
    _run: Callable[[Pixels], Vectors]

    def prepare(self, threading: Threading) -> None:
        """Load the network, to run it eagerly."""
        self._run, self._size = self._eager(), self._images(threading)

    def compile(self, threading: Threading) -> None:
        """Compile the network, unless an earlier run did; run it eagerly if this fails."""
        self._size = self._images(threading)
        try:
            self._run = self._loaded(threading) or self._compiled(threading)
        except RuntimeError as error:
            self._run = self._eager()
            lines = [line for line in str(error).splitlines() if line.strip()] or [
                type(error).__name__
            ]
            self._say(f"not compiled, slower but as right: {lines[0][:160]}")

    def _loaded(self, threading: Threading) -> Compiled | None:
        """Load code that an earlier run compiled; return None if none is stored, or it fails."""
        library = self._stored(threading)
        try:
            return (
                None
                if library is None
                else Compiled(library, threading.workers, self._extractor.dim)
            )
        except RuntimeError:
            return None

    def _compiled(self, threading: Threading) -> Callable[[Pixels], Vectors]:
        """Compile and store the network; without a private folder, return the eager network.

        Raises
        ------
        RuntimeError
            It cannot be compiled.
        """
        if (obstacle := self._code.obstacle()) is not None:
            self._say(f"not compiled, slower but as right: {obstacle}")
            return self._eager()
        with self._code.alone(self._name(threading), self._say):
            # while this process waited for the lock, another may have compiled the same network
            if (waited := self._loaded(threading)) is not None:
                return waited
            start = time.perf_counter()
            example = torch.zeros((self._size, *self._shape), dtype=torch.uint8)
            library = compile_ahead(self._network(), example, self._code.workshop)
            compiled = Compiled(library, threading.workers, self._extractor.dim)
            seconds = time.perf_counter() - start
            self._say(f"compiled in {seconds:.0f} s, {self._store(threading, library)}")
        return compiled

    def _library(self) -> str:
        return f"torch {torch.__version__}"

    def _embed(self, pixels: Pixels) -> Vectors:
        return self._run(pixels)

    def _eager(self) -> Callable[[Pixels], Vectors]:
        return partial(_through, self._network())

    def _network(self) -> nn.Module:
        if self._body is None:
            self._body = ready(self._make(), self._extractor)
        return self._body


def _through(network: nn.Module, pixels: Pixels) -> Vectors:
    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(pixels)).numpy(), dtype=np.float32)
