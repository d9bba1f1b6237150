"""Read ONNX files safely, and run them in onnxruntime or OpenVINO."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, WeightsError, need, parsing
from gzfeatures.features.backbones import Backbone
from gzfeatures.files import require_file
from gzfeatures.images.view import View
from gzfeatures.networks.encoders.pooling import joined, pooled, require_layers
from gzfeatures.networks.encoders.view_config import PixelConfig, beside, unknown_pixels
from gzfeatures.networks.hardware import load_newest_tbb

EXTRA = "onnx"
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Operator sets whose operators only compute; any other set needs a library of unknown origin."""
LOADERS = ("EPContext", "PyOp", "ExternalStream")
"""Operators that read files or call Python, which are refused."""
QUANTISED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger")
"""Operators that occur in networks with 8-bit integer arithmetic."""
MOST_IMAGES = 4096
"""Largest fixed batch size of an accepted file: filling up short batches with black images costs
time."""
RAW = ((0.0, 0.0, 0.0), (1 / 255,) * 3)
"""Mean and standard deviation that leave 8-bit pixels unchanged."""


@dataclasses.dataclass(frozen=True)
class OnnxInput:
    """Store the name, shape and data type of the images that an ONNX graph takes.

    Parameters
    ----------
    name : str
    batch, size : int, optional
        Fixed number of images in a batch, and side in px; None if it may vary.
    channels_last : bool
    whole : bool
        Whether the graph takes pixels 0…255 as uint8, not normalised floats.
    """

    name: str
    batch: int | None
    size: int | None
    channels_last: bool
    whole: bool


@dataclasses.dataclass(frozen=True)
class OnnxGraph:
    """Store what an ONNX file says of its input, outputs and operators, without its weights.

    Parameters
    ----------
    path : Path
    images : OnnxInput
    outputs : tuple of str
    quantised : bool
        Whether the graph computes in 8-bit integers.
    antialiased : bool
        Whether the graph has a Resize with antialias, which OpenVINO ignores silently.
    beside : tuple of Path
        Files with the graph's external data, such as weights.
    """

    path: Path
    images: OnnxInput
    outputs: tuple[str, ...]
    quantised: bool
    antialiased: bool
    beside: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """Return the SHA-256 digest of the ONNX file, including files with its external data."""
        parts = [fingerprint.of_file(path) for path in (self.path, *self.beside)]
        return parts[0] if len(parts) == 1 else fingerprint.of(parts)


def read_graph(path: str | Path) -> OnnxGraph:
    """Read inputs, outputs and operators of an ONNX file; refuse a file that could do harm.

    Raises
    ------
    MissingExtraError, MissingFileError, InputError
        onnx is not installed; no such file; it is damaged, has operators of an unknown library,
        external data outside its folder, or another input than images.
    """
    return graph_of(*read_model(path))


def graph_of(file: Path, model: Any, outside: tuple[Path, ...]) -> OnnxGraph:
    """Return an OnnxGraph of a loaded model: input images, outputs, int8 and antialias flags.

    Raises
    ------
    InputError
        The model has another input than images.
    """
    with parsing("ONNX file cannot be read", file):
        constants = {each.name for each in model.graph.initializer}
        inputs = [each for each in model.graph.input if each.name not in constants]
        nodes = list(nodes_of(model))
        if not model.graph.output:
            raise InputError("outputs of the ONNX file", where=file, rule="be one or more", found=0)
        return OnnxGraph(
            file,
            _images(inputs, file),
            tuple(str(each.name) for each in model.graph.output),
            any(node.op_type in QUANTISED for node in nodes),
            any(
                node.op_type == "Resize"
                and any(each.name == "antialias" and each.i for each in node.attribute)
                for node in nodes
            ),
            outside,
        )


def read_model(path: str | Path) -> tuple[Path, Any, tuple[Path, ...]]:
    """Read an ONNX file without its external data; refuse operators that could run other code.

    Returns
    -------
    Path
        Path of the file, with links resolved.
    ModelProto
        Model in the file.
    tuple of Path
        Files with the model's external data, all in the same folder.

    Raises
    ------
    MissingExtraError, MissingFileError, InputError
        As `read_graph`, except that the model may have other inputs than images.
    """
    file = require_file(path, "ONNX file").resolve()
    onnx = need("onnx", extra=EXTRA)
    with parsing("ONNX file cannot be read", file):
        model = onnx.load(str(file), load_external_data=False)
        _require_known_operators(model, file)
        return file, model, _external(model, file)


def nodes_of(model: Any) -> Iterator[Any]:
    """Yield every operator (node) of an ONNX model, also those nested in loops and functions."""
    for graph in _graphs(model):
        yield from graph.node


def _graphs(model: Any) -> Iterator[Any]:
    """Yield the main graph of an ONNX model, graphs nested in its operators, and its functions."""
    waiting = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += list(attribute.graphs)


def _require_known_operators(model: Any, path: Path) -> None:
    local = {(function.domain, function.name) for function in model.functions}
    for node in nodes_of(model):
        if (node.domain, node.op_type) in local:
            continue
        if node.domain not in DOMAINS or node.op_type in LOADERS:
            raise InputError(
                "operator of an ONNX file is refused",
                where=path,
                rule="be one of ONNX or onnxruntime that computes",
                found=f"{node.domain}:{node.op_type}",
            )


def _tensors(model: Any) -> Iterator[Any]:
    """Yield every constant tensor of an ONNX model, such as weights."""
    for graph in _graphs(model):
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def _external(model: Any, path: Path) -> tuple[Path, ...]:
    """Return the files with an ONNX model's external data; refuse files outside its folder."""
    found = {}
    for tensor in _tensors(model):
        for entry in tensor.external_data:
            if entry.key != "location":
                continue
            place = path.parent / entry.value
            # refuse links and paths with folders: an ONNX file of a stranger could use them to read
            # any file on this disk
            if entry.value != Path(entry.value).name or place.is_symlink():
                raise InputError(
                    "external data of an ONNX file lie elsewhere",
                    where=path,
                    rule="lie beside the file",
                    found=entry.value,
                )
            found[entry.value] = require_file(place, "external data of the ONNX file")
    return tuple(found[name] for name in sorted(found))


def _images(inputs: list[Any], path: Path) -> OnnxInput:
    """Return shape and data type of the images that an ONNX graph takes; refuse other inputs."""
    kinds = {1: False, 2: True}
    shape: list[int | None] = []
    if len(inputs) == 1:
        kind = inputs[0].type.tensor_type
        # some exporters write -1 for a size that may vary; other exporters leave it empty
        shape = [dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim]
        last = len(shape) == 4 and shape[3] == 3 and shape[1] != 3
        sides = shape[1:3] if last else shape[2:]
        images = len(shape) == 4 and (last or shape[1] == 3) and sides[0] == sides[1]
        if images and kind.elem_type in kinds:
            if (shape[0] or 1) > MOST_IMAGES:
                raise InputError(
                    "batch of the ONNX file",
                    where=path,
                    rule=f"be open, or {MOST_IMAGES} at most",
                    found=shape[0],
                )
            whole = kinds[kind.elem_type]
            return OnnxInput(str(inputs[0].name), shape[0], sides[0], last, whole)
    raise InputError(
        "input of the ONNX file",
        where=path,
        rule="be images alone, of shape (n, 3, side, side) or (n, side, side, 3), as float32 or "
        "uint8",
        found=f"{len(inputs)} inputs, {shape}",
    )


def describe(
    kind: str, name: str, weights: Path | None, pixels: PixelConfig | None = None
) -> Backbone:
    """Return the backbone for the network in an ONNX file.

    Parameters
    ----------
    kind : {"onnx"}
    name : str
        Path of the ONNX file.
    weights : Path, optional
        Must be None: the file has its own weights.
    pixels : PixelConfig, optional
        Size, crop and normalisation of the network's images; by default from a configuration beside
        the ONNX file, which a network of 8-bit pixels with a fixed size does not need.

    Raises
    ------
    MissingExtraError, MissingFileError, InputError
        As `read_graph`; or no file states size and normalisation of the images.
    """
    if weights is not None:
        raise InputError("weights", where=name, rule="be those of the file", found=weights)
    graph = read_graph(name)
    pixels = pixels or beside(graph.path)
    if pixels is None:
        if not graph.images.whole or graph.images.size is None:
            raise unknown_pixels(graph.path)
        pixels = PixelConfig(View(size=graph.images.size), *RAW, "the file takes 8-bit pixels")
    view = pixels.view
    if graph.images.size is not None:
        view = dataclasses.replace(view, size=graph.images.size)
    spec = Backbone(
        name=f"{kind}:{graph.path.name}",
        architecture=f"{kind}:graph",
        weights=f"file:{graph.path}",
        layer=graph.outputs[0],
        dim=1,
        view=view,
        mean=RAW[0] if graph.images.whole else pixels.mean,
        std=RAW[1] if graph.images.whole else pixels.std,
        licence="that of the file",
        source=pixels.origin,
    )
    return dataclasses.replace(spec, dim=length_of(spec, graph))


def length_of(spec: Backbone, graph: OnnxGraph, layer: str | None = None) -> int:
    """Measure the length of an ONNX graph's embeddings by running it on two black images."""
    run = OnnxSession(spec, graph, layer or spec.layer, "onnxruntime", threads=1)
    side = spec.view.size
    return int(run(np.zeros((2, side, side, 3), dtype=np.uint8)).shape[1])


class OnnxSession:
    """Run an ONNX file on 8-bit pixels, in onnxruntime or OpenVINO.

    Parameters
    ----------
    spec : Backbone
        Backbone with the normalisation of its images.
    graph : OnnxGraph
    layer : str
        Name of an output, or `mean` or `cls`, computed from the first output; or several joined by
        +.
    library : {"onnxruntime", "openvino"}
    threads, workers : int
        Number of threads of one call, and of calls at the same time.
    batch : int, optional
        Images in each call of OpenVINO, whose graphs have a fixed batch.
    precision : {"float32", "bfloat16"}
        Arithmetic in OpenVINO.

    Raises
    ------
    MissingExtraError, WeightsError, InputError
        The library is not installed, cannot read the file, or would compute something else.
    """

    def __init__(
        self,
        spec: Backbone,
        graph: OnnxGraph,
        layer: str,
        library: str,
        threads: int,
        batch: int = 8,
        workers: int = 1,
        precision: str = "float32",
    ) -> None:
        self._graph, self._layer = graph, layer
        require_layers(layer, graph.path, graph.outputs)
        # `mean` and `cls` are no outputs of the graph: they are computed from its first output
        names = [name if name in graph.outputs else graph.outputs[0] for name in layer.split("+")]
        self._outputs = list(dict.fromkeys(names))
        scale = 1 / (255 * np.asarray(spec.std, dtype=np.float64))
        self._scale = scale.astype(np.float32)
        self._shift = (-np.asarray(spec.mean) / np.asarray(spec.std)).astype(np.float32)
        self.batch = graph.images.batch or (batch if library == "openvino" else None)
        with parsing("ONNX file cannot be run", graph.path):
            if library == "openvino":
                self._run = self._openvino((threads, workers), precision, spec.view.size)
            else:
                self._run = self._onnxruntime(threads)

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return embeddings (n, dim) of pixels (n, side, side, 3)."""
        images = self._images(pixels)
        step = self.batch or len(images)
        parts = []
        for start in range(0, len(images), step):
            part = images[start : start + step]
            full = part
            if len(part) < step:
                # add black images to a short batch, because the graph accepts one batch size only
                full = np.zeros((step, *images.shape[1:]), dtype=images.dtype)
                full[: len(part)] = part
            parts.append(self._vectors(self._run(full), len(full))[: len(part)])
        return np.concatenate(parts)

    def _images(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Convert 8-bit pixels to the data type, scale and axis order that the ONNX graph takes."""
        images: npt.NDArray[Any] = pixels
        if not self._graph.images.whole:
            images = pixels * self._scale
            images += self._shift
        return (
            images
            if self._graph.images.channels_last
            else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        )

    def _vectors(self, arrays: Sequence[npt.NDArray[Any]], images: int) -> npt.NDArray[np.float32]:
        outputs = {}
        for name, array in zip(self._outputs, arrays, strict=True):
            values = np.asarray(array)
            if values.dtype.kind not in "fiu":
                raise InputError(
                    "output of the ONNX file",
                    where=f"{self._graph.path}, {name}",
                    rule="be numbers",
                    found=str(values.dtype),
                )
            outputs[name] = torch.from_numpy(np.array(values, dtype=np.float32))
        for name, output in outputs.items():
            if output.ndim < 2 or len(output) != images:
                raise InputError(
                    "output of the ONNX file",
                    where=f"{self._graph.path}, {name}",
                    rule="have a row for each image",
                    found=tuple(output.shape),
                )
        first = outputs[self._outputs[0]]
        return np.asarray(
            joined(
                self._layer,
                lambda name: (
                    outputs[name]
                    if name in outputs
                    else pooled(
                        outputs.get(self._graph.outputs[0], first), name, 1, self._graph.path
                    )
                ),
            ).numpy()
        )

    def _onnxruntime(self, threads: int) -> Any:
        runtime = need("onnxruntime", extra=EXTRA)
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # stop onnxruntime from printing; its errors reach the caller as exceptions anyway
        options.log_severity_level = 4
        session = runtime.InferenceSession(
            str(self._graph.path), options, providers=["CPUExecutionProvider"]
        )
        name = self._graph.images.name
        return lambda images: session.run(self._outputs, {name: images})

    def _openvino(self, cores: tuple[int, int], precision: str, size: int) -> Any:
        # refuse: OpenVINO ignores `antialias` and gives no warning, so the embeddings would be
        # wrong
        if self._graph.antialiased:
            raise InputError(
                "OpenVINO ignores antialias of Resize, so its vectors would be others",
                where=self._graph.path,
                remedy="use --runtime onnxruntime, or resize outside of the graph",
            )
        load_newest_tbb()
        vino = need("openvino", extra="openvino")
        core = vino.Core()
        model = core.read_model(str(self._graph.path))
        shape = [self.batch, 3, size, size]
        if self._graph.images.channels_last:
            shape = [self.batch, size, size, 3]
        # fix the batch size: with a variable one, OpenVINO computes wrong biases in int8 graphs
        # that contain the operator Range
        model.reshape(shape)
        hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
        compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": hint,
                "NUM_STREAMS": cores[1],
                "INFERENCE_NUM_THREADS": cores[0] * cores[1],
            },
        )
        outputs = [compiled.output(name) for name in self._outputs]
        requests = threading.local()

        def run(images: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
            # give each thread its own request (memory for one inference): two threads with one
            # request would overwrite each other's results
            if not hasattr(requests, "own"):
                requests.own = compiled.create_infer_request()
            requests.own.infer([images])
            return [requests.own.get_tensor(output).data for output in outputs]

        return run


def require_weights(weights: Path | None, spec: Backbone) -> Path:
    """Return the path of an ONNX file; refuse None, which means random weights."""
    if weights is None:
        raise WeightsError("has no random weights", where=spec.name)
    return weights
