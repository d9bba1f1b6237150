"""Run encoders of other libraries (ONNX, timm, …) after testing each on a few images."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from gzfeatures.errors import InputError, parsing
from gzfeatures.features.backbones import Backbone
from gzfeatures.features.extractor import Extractor
from gzfeatures.networks.compilation.code_folder import CodeFolder
from gzfeatures.networks.encoders.described import described, encoder_of, length_of_layer
from gzfeatures.networks.encoders.exported_programs import ProgramEncoder
from gzfeatures.networks.encoders.layer_trials import (
    TRAINING,
    resizing_of_onnx,
    training_of_onnx,
    training_of_program,
)
from gzfeatures.networks.encoders.onnx_files import (
    OnnxGraph,
    OnnxSession,
    graph_of,
    length_of,
    read_graph,
    read_model,
)
from gzfeatures.networks.encoders.pooled_area import AREA, area_trial, of_onnx, of_program
from gzfeatures.networks.encoders.soundness import Run, Trial, findings_of, require_sound
from gzfeatures.networks.extraction.forward import SYMMETRIES, Body, Forward, Threading, ready
from gzfeatures.networks.extraction.plan import Pixels, Vectors
from gzfeatures.networks.models.load import load

if TYPE_CHECKING:
    from gzfeatures.networks.encoders.described import AnyBackbone
    from gzfeatures.networks.extraction.spec import Extraction

OTHER_LIBRARY = {"onnxruntime": "openvino", "openvino": "onnxruntime"}
"""Second library that runs the same ONNX file, to compare the vectors of both libraries."""
TRIAL_THREADS = 2
"""Number of threads for testing an encoder, which needs only a few images."""


class EagerForward(Forward):
    """Run a PyTorch network of another library as it is, without compiling it.

    Parameters
    ----------
    body : nn.Module
        The network, with normalisation of its input.
    extractor, code, say
        As for `Forward`.
    """

    # never compile: compiling needs a recorded graph, and most networks of other libraries cannot
    # be recorded
    compile_from, suffix = math.inf, ".none"

    def __init__(
        self, body: nn.Module, extractor: Extractor, code: CodeFolder, say: Callable[[str], None]
    ) -> None:
        super().__init__(lambda: body, extractor, code, say)
        self._body = body

    def prepare(self, threading: Threading) -> None:
        """Set the number of images per forward pass; the network is already loaded."""
        self._size = self._images(threading)

    def compile(self, threading: Threading) -> None:
        """Set the number of images per forward pass; this network is never compiled."""
        self.prepare(threading)

    def _library(self) -> str:
        return f"torch {torch.__version__}"

    def _embed(self, pixels: Pixels) -> Vectors:
        with torch.inference_mode():
            vectors = self._body(torch.from_numpy(pixels)).numpy()
        return np.asarray(vectors, dtype=np.float32)


class OnnxForward(Forward):
    """Run the network of an ONNX file in onnxruntime or OpenVINO.

    Parameters
    ----------
    make : callable
        Returns an OnnxSession for a number of workers and threads.
    extractor, code, say
        As for `Forward`.
    """

    compile_from, suffix = math.inf, ".none"

    def __init__(
        self,
        make: Callable[[Threading], OnnxSession],
        extractor: Extractor,
        code: CodeFolder,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(_no_module, extractor, code, say)
        self._session_of = make

    def prepare(self, threading: Threading) -> None:
        """Load the ONNX file for a number of workers and threads."""
        self._size = self._images(threading)
        self._session = self._session_of(threading)

    def compile(self, threading: Threading) -> None:
        """Load the ONNX file for a number of workers and threads; no other compiling is needed."""
        self.prepare(threading)

    def _library(self) -> str:
        return self._extractor.engine

    def _embed(self, pixels: Pixels) -> Vectors:
        if not self._extractor.dihedral:
            return self._session(pixels)
        turned = [
            np.rot90(images, turns, (1, 2))
            for images in (pixels, pixels[:, :, ::-1])
            for turns in range(4)
        ]
        vectors = self._session(np.ascontiguousarray(np.concatenate(turned)))
        return np.asarray(vectors.reshape(SYMMETRIES, len(pixels), -1).mean(0), dtype=np.float32)


def _no_module() -> nn.Module:
    raise InputError("an ONNX file", rule="run outside of PyTorch")


def session_of(
    spec: Backbone,
    extractor: Extractor,
    threading: Threading,
    library: str | None = None,
    graph: OnnxGraph | None = None,
) -> OnnxSession:
    """Return an OnnxSession, which runs an ONNX file to compute embeddings of one layer."""
    graph = graph or read_graph(str(spec.weights).partition(":")[2])
    return OnnxSession(
        # OpenVINO compiles a graph for one image size: pass the size of the images to embed, which
        # may differ from the size in the file
        dataclasses.replace(spec, view=extractor.view),
        graph,
        extractor.layer,
        library or extractor.engine,
        threading.threads,
        threading.batch,
        threading.workers,
        extractor.precision,
    )


@dataclasses.dataclass(frozen=True)
class SoundEncoder:
    """Test an encoder of another library on a few images, and let it run only if it passes.

    Parameters
    ----------
    backbone : str, Path, Backbone or HandedModule
    spec : Backbone
        The backbone with its weights and view.
    extractor : Extractor
        Layer, view and precision of the embeddings.
    """

    backbone: AnyBackbone
    spec: Backbone
    extractor: Extractor

    def body(self) -> nn.Module:
        """Return encoder and normalisation as one PyTorch module, if the encoder passes the tests.

        Raises
        ------
        WeightsError
            An image's vector depends on other images of its batch, or changes when computed again.
        """
        extractor = self.extractor
        network = encoder_of(self.backbone, self.spec, extractor.layer, extractor.view.size)
        body = Body(network, extractor, getattr(torch, extractor.precision))
        if extractor.view.bands is None:
            # bfloat16 rounds differently in batches of different size, so comparing batches would
            # fail: keep only the tests for finite numbers, layers in train mode, and too small
            # pooling kernels
            exact = extractor.precision == "float32"
            size = extractor.view.size
            findings = _findings_of_network(network, body, size)
            told = [each for each in findings if each.trial in (AREA, TRAINING)]
            kept = findings if exact else [findings[0], *told]
            require_sound(kept, self.spec.name)
        return body

    def forward(self, say: Callable[[str], None]) -> Forward:
        """Return an object that runs the encoder on the CPU, if the encoder passes the tests."""
        code, extractor = CodeFolder.default(), self.extractor
        if self.spec.kind == "onnx":
            require_sound(_findings_of_onnx(self.spec, extractor), self.spec.name)
            return OnnxForward(
                lambda each: session_of(self.spec, extractor, each), extractor, code, say
            )
        return EagerForward(self.body(), extractor, code, say)


def _through(body: nn.Module) -> Run:
    """Return a function that runs a network on 8-bit pixels and returns embeddings."""

    def run(pixels: Pixels) -> Vectors:
        with torch.inference_mode():
            output = body(torch.from_numpy(np.ascontiguousarray(pixels)))
            return np.asarray(output.numpy(), dtype=np.float32)

    return run


def _findings_of_network(
    network: nn.Module, body: Body, size: int, lengths: Callable[[int], int] | None = None
) -> list[Trial]:
    """Test a PyTorch encoder on a few images; return the result of each test."""
    layers = _layers_of_network(network, size)
    batch = network.batch if isinstance(network, ProgramEncoder) else None
    return findings_of(_through(body), size, sizes=lengths, layers=layers, batch=batch)


def _findings_of_onnx(spec: Backbone, extractor: Extractor, sizes: bool = False) -> list[Trial]:
    """Test an ONNX file on a few images, in two libraries if possible; return all test results."""
    file, model, outside = read_model(str(spec.weights).partition(":")[2])
    graph = graph_of(file, model, outside)
    size = extractor.view.size
    with parsing("ONNX file cannot be read", file):
        layers = [training_of_onnx(model), *resizing_of_onnx(model, size)]
        # test the pooling layers if the graph accepts any image size: the export may have fixed
        # their kernels to the size of its example image, and in a larger image such a kernel
        # reads only part of the feature map. Kernels of a graph for one size suit this size
        if graph.images.size is None:
            layers.append(area_trial(of_onnx(model, size, graph.images.channels_last), size))
    # free the memory of the weights: each library reads the file itself
    del model
    trial = Threading(1, TRIAL_THREADS, 4)
    other: Run | None = None
    try:
        other = session_of(spec, extractor, trial, OTHER_LIBRARY[extractor.engine], graph)
    except (ImportError, InputError):
        # the tests compare the embeddings of two libraries, but only one can run this network
        other = None

    def lengths(side: int) -> int:
        view = dataclasses.replace(spec.view, size=side)
        return length_of(dataclasses.replace(spec, view=view), graph, extractor.layer)

    return findings_of(
        session_of(spec, extractor, trial, graph=graph),
        size,
        other if extractor.precision == "float32" else None,
        lengths if sizes and graph.images.size is None else None,
        graph.quantised,
        layers,
        graph.images.batch,
    )


def _layers_of_network(network: nn.Module, size: int) -> list[Trial]:
    """Test whether an exported network has layers in train mode, or pools only part of a map."""
    if not isinstance(network, ProgramEncoder):
        return []
    layers = [training_of_program(network.model)]
    if network.open_size:
        layers.append(area_trial(of_program(network.model, size, network.batch or 2), size))
    return layers


def check(extraction: Extraction) -> tuple[Backbone, list[Trial]]:
    """Test on a few images if an encoder can be trusted; return its backbone and the test results.

    Raises
    ------
    GzError
        The encoder cannot be loaded.
    """
    extractor = extraction.extractor
    spec = described(extraction.backbone, extraction.weights)
    size = extractor.view.size

    def lengths(side: int) -> int:
        return length_of_layer(extraction.backbone, spec, extractor.layer, side)

    if extractor.view.bands is not None:
        raise InputError("--check tries pictures", rule="see no bands", found=extractor.view.bands)
    if spec.kind == "onnx":
        return spec, _findings_of_onnx(spec, extractor, sizes=True)
    if spec.kind:
        network = encoder_of(extraction.backbone, spec, extractor.layer, size)
        body = Body(network, extractor, torch.float32)
        return spec, _findings_of_network(network, body, size, lengths)
    network = load(spec, extraction.weights, extractor.layer, size)
    return spec, findings_of(_through(ready(network, extractor, torch.float32)), size)


def shown(spec: Backbone, extractor: Extractor) -> str:
    """Return a line about an encoder: layer, embedding length, image size, crop, normalisation."""
    view: Mapping[str, object] = extractor.view.asdict()
    numbers = " ".join(f"{value:.4g}" for value in (*extractor.mean, *extractor.std))
    return (
        f"{spec.name}: layer {extractor.layer}, {extractor.dim} numbers; view {view['size']} px, "
        f"crop {extractor.view.crop:.4g}, {extractor.view.interpolation}; mean and std {numbers} "
        f"({spec.source})"
    )
