"""Run one network on a CPU in PyTorch: uint8 pixels go in, float32 embeddings come out.

For a few images it runs uncompiled (eagerly). For many images it is compiled to machine code first
(AOTInductor: convolutions packed for this CPU, activations fused into them), and the code is stored
in a folder of the user for the next run.
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
from gzfeatures.networks.extraction.network_crops import dihedral_views
from gzfeatures.networks.extraction.plan import Pixels, Vectors

SYMMETRIES = 8
"""Number of mirror images and quarter turns over which an embedding is averaged."""


@dataclasses.dataclass(frozen=True, order=True)
class Threading:
    """Store how a CPU is shared: number of workers, threads per worker, images per forward pass."""

    workers: int
    threads: int
    batch: int


class Forward(abc.ABC):
    """Run one network on a CPU; subclasses use PyTorch, OpenVINO or onnxruntime.

    Parameters
    ----------
    make : callable
        Returns the network (`load.load` with a layer); called only when it is needed.
    extractor : Extractor
        Normalisation, precision and symmetries of the embeddings.
    code : CodeFolder
        Folder with compiled networks, a file for each number of workers and threads. A file is
        machine code, so it is loaded only if this user wrote it for this network, library version
        and machine.
    say : callable
        Prints one line of text about each choice made.
    """

    compile_from: float
    """Estimated seconds of work from which on `compile` is worthwhile."""
    suffix: str
    """File name ending of stored compiled code."""

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
        """Return the CPU settings (workers, threads, batch) for which compiled code is stored."""
        pattern = re.compile(rf"{self._stem}-(\d+)-(\d+)-(\d+){re.escape(self.suffix)}", re.ASCII)
        return {
            Threading(*map(int, match.groups()))
            for match in map(pattern.fullmatch, self._code.names())
            if match
        }

    @abc.abstractmethod
    def prepare(self, threading: Threading) -> None:
        """Quickly make the network ready to run, without compiling it."""

    @abc.abstractmethod
    def compile(self, threading: Threading) -> None:
        """Make the network ready to run fast: load compiled code of an earlier run, or compile."""

    def run(self, pixels: Pixels) -> Vectors:
        """Return embeddings (n, dim) of pixels (n, size, size, bands).

        A short batch is filled with black images: with one batch size, the last digits of an
        embedding do not depend on how many images are computed together.
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
        """Return name and version of the library that runs the network."""

    @abc.abstractmethod
    def _embed(self, pixels: Pixels) -> Vectors:
        """Return the embeddings of one batch of images."""

    def _name(self, threading: Threading) -> str:
        return (
            f"{self._stem}-{threading.workers}-{threading.threads}-{threading.batch}{self.suffix}"
        )

    def _bound(self, threading: Threading) -> dict[str, Any]:
        """Return the settings that compiled code depends on; `CodeFolder` adds the machine."""
        # do not add the weights' sha256: the extractor's fingerprint already depends on it
        fields = {
            "extractor": self._extractor.fingerprint,
            "library": self._library(),
            "file": self.suffix,
        }
        return fields | dataclasses.asdict(threading)

    def _stored(self, threading: Threading) -> bytes | None:
        """Return the network compiled for these workers and threads; None if none is stored."""
        return self._code.read(self._name(threading), self._bound(threading))

    def _store(self, threading: Threading, code: bytes) -> str:
        """Store compiled code for later runs; return a few words for the user about the result."""
        try:
            self._code.write(self._name(threading), self._bound(threading), code)
        except OutputError as error:
            return f"not kept: {error}"
        return "kept for the next run"

    def _images(self, threading: Threading) -> int:
        """Return images per forward pass: an eighth of the batch if each has 8 rotated copies."""
        return (
            max(1, threading.batch // SYMMETRIES) if self._extractor.dihedral else threading.batch
        )


class Body(nn.Module):
    """Normalise 8-bit pixels, run a network on them, and return float32 embeddings."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, extractor: Extractor, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype, self.dihedral = dtype, extractor.dihedral
        self.network = network.to(dtype)
        self.register_buffer("mean", torch.tensor(extractor.mean).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(extractor.std).reshape(-1, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return embeddings (n, dim) of pixels (n, size, size, bands)."""
        images = pixels.permute(0, 3, 1, 2).float().div(255).sub(self.mean).div(self.std)
        if self.dihedral:
            images = torch.cat(dihedral_views(images))
        vectors: torch.Tensor = self.network(images.to(self.dtype)).float().contiguous()
        return (
            vectors.reshape(SYMMETRIES, -1, vectors.shape[1]).mean(0) if self.dihedral else vectors
        )


def ready(network: nn.Module, extractor: Extractor, dtype: torch.dtype | None = None) -> nn.Module:
    """Return a network that normalises its input, with batch norms merged into convolutions."""
    # merge batch norms into the convolutions before them: one operation less per layer. Channels
    # last in memory make convolutions faster
    body = Body(fold_batch_norms(network), extractor, dtype or getattr(torch, extractor.precision))
    # tracing gives each network Python code of its own: torch.compile fails if many networks share
    # the code of one class
    return symbolic_trace(body).eval().to(memory_format=torch.channels_last)


class TorchForward(Forward):
    """Run a network in PyTorch, compiled to machine code if the work is long enough."""

    compile_from, suffix = 20.0, ".so"
    _body: nn.Module | None = None
    _run: Callable[[Pixels], Vectors]

    def prepare(self, threading: Threading) -> None:
        """Load the network to run without compiling."""
        self._run, self._size = self._eager(), self._images(threading)

    def compile(self, threading: Threading) -> None:
        """Load or compile machine code for the network; if this fails, run it without compiling."""
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
        """Load the machine code compiled by an earlier run; return None if that is impossible."""
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
        """Return the compiled network, and store it; if this is impossible, return it uncompiled.

        Raises
        ------
        RuntimeError
            The network cannot be compiled.
        """
        if (obstacle := self._code.obstacle()) is not None:
            self._say(f"not compiled, slower but as right: {obstacle}")
            return self._eager()
        with self._code.alone(self._name(threading), self._say):
            # while we waited for the lock, another process may have compiled this network
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
