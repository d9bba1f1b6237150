"""Find pooling layers whose kernel is too small, so that they read only part of a feature map."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from gzfeatures.networks.encoders.soundness import Trial

AREA = "pooling of the whole map"
"""Name of the test for such pooling layers, in the test's result."""
POOLS = {"AveragePool": True, "QLinearAveragePool": True, "MaxPool": False}
"""ONNX's pooling operators that have a kernel; True if they average."""
LAYERS = ("Conv", "ConvTranspose", "QLinearConv", "ConvInteger", "FusedConv", *POOLS)
"""ONNX's convolution and pooling operators: a pooling before one is not the network's last."""
TORCH_POOLS = {"avg_pool2d": True, "max_pool2d": False, "max_pool2d_with_indices": False}
TORCH_LAYERS = ("conv2d", "convolution", "conv_transpose2d", *TORCH_POOLS)
MEAN_WORDS = ("self", "kernel_size", "stride", "padding", "ceil_mode")
MAX_WORDS = ("self", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
"""First arguments of PyTorch's pooling operators, in the order of `native_functions.yaml`."""
SMALL = 3
"""Largest kernel for halving a feature map; it may leave out a last odd row on purpose."""


@dataclasses.dataclass(frozen=True)
class Pooling:
    """Store kernel, stride and padding of a pooling layer along one side of its feature map.

    Parameters
    ----------
    name : str
    side : int
        Number of cells of the map along this side.
    kernel, stride, before, after : int
        In cells: kernel length, step between kernels, padding before and after the map.
    mean : bool
        True for mean pooling, False for maximum pooling.
    last : bool
        True if no convolution or pooling follows.
    """

    name: str
    side: int
    kernel: int
    stride: int
    before: int
    after: int
    mean: bool
    last: bool

    @property
    def seen(self) -> int:
        """Return how many cells along this side of the feature map are read by the pooling."""
        padded = self.side + self.before + self.after
        steps = max((padded - self.kernel) // self.stride, 0)
        return min(steps * self.stride + self.kernel - self.before, self.side)

    @property
    def sound(self) -> bool | None:
        """Return whether a layer reads its whole feature map; None if it may skip cells by design.

        PyTorch exports an adaptive pooling with the kernel that suits the example image. For a
        larger image that kernel does not reach the end of the map, and no error is raised.
        """
        if self.seen >= self.side:
            return True
        if self.last and (self.mean or self.kernel > SMALL):
            return False
        # a large kernel with a single output cell was meant to read the whole map, as in
        # squeeze-and-excitation blocks
        one = self.side + self.before + self.after < self.kernel + self.stride
        return False if one and self.kernel > SMALL else None


def area_trial(poolings: Iterable[Pooling], size: int) -> Trial:
    """Test whether each pooling layer of a network reads its whole feature map, at one image size.

    Parameters
    ----------
    poolings : iterable of Pooling
    size : int
        Side of the images in px.
    """
    found = list(poolings)
    for verdict in (False, None):
        for each in found:
            if each.sound is verdict and (verdict is False or each.last):
                detail = f"{each.name} sees {each.seen} of {each.side} cells at {size} px"
                return Trial(AREA, verdict, f"{detail}, with a kernel of {each.kernel}")
    return Trial(AREA, True, f"{len(found)} layers at {size} px")


def of_onnx(model: Any, size: int, channels_last: bool) -> list[Pooling]:
    """Return an ONNX model's pooling layers, with feature map sizes for one image size.

    Parameters
    ----------
    model : ModelProto
        It is changed: its stored layer sizes are deleted.
    size : int
        Side of the images in px.
    channels_last : bool
        Order of the model's input.

    Returns
    -------
    list of Pooling
        Pooling layers whose map has a known size.
    """
    import onnx

    graph = model.graph
    constants = {each.name for each in graph.initializer}
    (images,) = (each for each in graph.input if each.name not in constants)
    for place, side in enumerate((1, size, size, 3) if channels_last else (1, 3, size, size)):
        images.type.tensor_type.shape.dim[place].dim_value = side
    # delete the layer sizes stored in the file: they belong to the example image of the export, and
    # onnx would take them instead of the sizes for this image
    del graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        each.name: [side.dim_value for side in each.type.tensor_type.shape.dim]
        for each in inferred.value_info
    }
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found: list[Pooling] = []
    for node in graph.node:
        if node.op_type in POOLS:
            found += _of_node(node, shapes.get(node.input[0], []), _is_last(node, readers))
    return found


def _of_node(node: Any, shape: Sequence[int], last: bool) -> Iterator[Pooling]:
    known = {each.name: each for each in node.attribute}
    if len(shape) != 4 or not all(shape[2:]) or "kernel_shape" not in known:
        return
    kernels = list(known["kernel_shape"].ints)
    if "auto_pad" in known and known["auto_pad"].s not in (b"NOTSET", b"VALID"):
        # no need to test: with padding SAME, the kernel reaches every cell of the feature map
        return
    if "ceil_mode" in known and known["ceil_mode"].i:
        # no need to test: in ceil mode, the last kernel may extend beyond the feature map, so every
        # cell is read
        return
    strides = list(known["strides"].ints) if "strides" in known else [1] * len(kernels)
    pads = list(known["pads"].ints) if "pads" in known else [0] * 2 * len(kernels)
    dilations = list(known["dilations"].ints) if "dilations" in known else [1] * len(kernels)
    if len(kernels) != 2:
        return
    for axis in range(2):
        kernel = (kernels[axis] - 1) * dilations[axis] + 1
        yield Pooling(
            f"{node.op_type} {node.name}".strip(),
            shape[2 + axis],
            kernel,
            strides[axis],
            pads[axis],
            pads[2 + axis],
            POOLS[node.op_type],
            last,
        )


def _is_last(node: Any, readers: dict[str, list[Any]]) -> bool:
    """Return whether no convolution or pooling comes anywhere after an ONNX operator."""
    waiting, met = list(node.output), set(node.output)
    while waiting:
        for reader in readers.get(waiting.pop(), []):
            if reader.op_type in LAYERS:
                return False
            new = [name for name in reader.output if name not in met]
            met.update(new)
            waiting += new
    return True


class _Watched(torch.fx.Interpreter):
    """Run a network exported by PyTorch; record its pooling layers and feature map sizes."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.found: list[Pooling] = []

    def run_node(self, n: torch.fx.Node) -> Any:
        name = operator_of(n)
        if name in TORCH_POOLS:
            self.found += self._of(n, name)
        return super().run_node(n)

    def _of(self, node: torch.fx.Node, name: str) -> Iterator[Pooling]:
        arguments, options = self.fetch_args_kwargs_from_env(node)
        words = MEAN_WORDS if TORCH_POOLS[name] else MAX_WORDS
        given = {**dict(zip(words, arguments, strict=False)), **options}
        if given.get("ceil_mode"):
            return
        kernels = _pair(given["kernel_size"])
        strides = _pair(given.get("stride") or kernels)
        pads = _pair(given.get("padding") or 0)
        dilations = _pair(given.get("dilation") or 1)
        last = _ends(node)
        for axis in range(2):
            kernel = (kernels[axis] - 1) * dilations[axis] + 1
            side = int(given["self"].shape[-2 + axis])
            pad = pads[axis]
            mean = TORCH_POOLS[name]
            yield Pooling(node.name, side, kernel, strides[axis], pad, pad, mean, last)


def of_program(module: torch.fx.GraphModule, size: int, batch: int) -> list[Pooling]:
    """Return an exported program's pooling layers, with feature map sizes for one image size.

    Parameters
    ----------
    module : GraphModule
        Result of `ExportedProgram.module()`.
    size : int
        Side of the images in px.
    batch : int
        Number of images in a batch of the program.
    """
    watched = _Watched(module)
    with torch.inference_mode():
        watched.run(torch.zeros(batch, 3, size, size))
    return watched.found


def operator_of(node: torch.fx.Node) -> str:
    """Return the name of the PyTorch operator that a graph node calls; empty if it calls none."""
    packet = getattr(node.target, "overloadpacket", None)
    return "" if packet is None else str(packet).rpartition(".")[2]


def _ends(node: torch.fx.Node) -> bool:
    waiting, met = [node], {node}
    while waiting:
        for reader in waiting.pop().users:
            if operator_of(reader) in TORCH_LAYERS:
                return False
            if reader not in met:
                met.add(reader)
                waiting.append(reader)
    return True


def _pair(value: Any) -> tuple[int, int]:
    numbers = [value] if isinstance(value, int) else [int(each) for each in value]
    return (numbers[0], numbers[-1])
