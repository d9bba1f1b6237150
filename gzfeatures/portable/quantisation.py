"""Convert a backbone's ONNX graph to compute with 8-bit integers."""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, need

OPERATORS = ("Conv", "Gemm", "MatMul")
"""Operators to convert to integers, except the first in the graph; others stay in float32."""
BATCH = 1
"""Number of images in a batch, which is fixed in an int8 graph.

With a variable batch size the graph would contain an operator Range, and OpenVINO would then
silently use the bias of channel 0 for all channels.
"""


class _Pictures:
    """Pass images one by one to onnxruntime, which measures the range of each layer's values."""

    def __init__(self, name: str, pixels: npt.NDArray[np.uint8]) -> None:
        self._rest = iter(pixels)
        self._name = name

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        picture = next(self._rest, None)
        return None if picture is None else {self._name: picture[None]}

    def __iter__(self) -> _Pictures:
        return self


def _first(model: Any) -> list[str]:
    """Return a list with the name of the first layer, which stays in float32 to keep accuracy."""
    names = [node.name for node in model.graph.node if node.op_type in OPERATORS]
    return names[:1]


def quantised(model: Any, pixels: npt.NDArray[np.uint8]) -> Any:
    """Return a backbone's ONNX graph in 8-bit integers; each output channel has its own scale.

    Parameters
    ----------
    model : ModelProto
        Graph that computes the embedding of one picture.
    pixels : ndarray of uint8
        Pictures (n, size, size, 3) on which the ranges of values in each layer are measured.

    Raises
    ------
    MissingExtraError, InputError
        onnxruntime is not installed; or the graph has an operator Range.
    """
    onnx = need("onnx", extra="onnx")
    need("onnxruntime", extra="onnx")
    # import only here, because onnxruntime is an optional package
    from onnxruntime import quantization

    logger = logging.getLogger()
    level = logger.level
    with TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        try:
            # hide a log message of onnxruntime that advises to run shape inference, because the
            # graph has been through it
            logger.setLevel(logging.ERROR)
            quantization.quantize_static(
                str(source),
                str(target),
                _Pictures(model.graph.input[0].name, pixels),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS),
                nodes_to_exclude=_first(model),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                # use 7-bit weights: CPUs without the instructions VNNI add pairs of products in 16
                # bits, which would overflow with 8-bit weights
                reduce_range=True,
            )
        finally:
            logger.setLevel(level)
        result = onnx.load(str(target))
    if any(node.op_type == "Range" for node in result.graph.node):
        raise InputError("graph in 8-bit integers", rule="hold no Range, which OpenVINO misreads")
    return result
