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
"""Operators that compute in integers; the first of them, and all others, stay at float32."""
BATCH = 1
"""Images that the graph takes at a time.

OpenVINO computes an int8 convolution of a graph with an open batch and a Range with the bias of
channel 0 for every channel, silently: so the batch is fixed, and the graph holds no Range.
"""


class _Pictures:
    """Give images to onnxruntime one at a time, which measures number ranges on them."""

    def __init__(self, name: str, pixels: npt.NDArray[np.uint8]) -> None:
        self._rest = iter(pixels)
        self._name = name

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        picture = next(self._rest, None)
        return None if picture is None else {self._name: picture[None]}

    def __iter__(self) -> _Pictures:
        return self


def _first(model: Any) -> list[str]:
    """Return the name of the first layer, where 8-bit integers would cost most accuracy."""
    names = [node.name for node in model.graph.node if node.op_type in OPERATORS]
    return names[:1]


def quantised(model: Any, pixels: npt.NDArray[np.uint8]) -> Any:
    """Return a graph with 8-bit weights, where each output channel has its own scale.

    Parameters
    ----------
    model : ModelProto
        From one picture to a vector.
    pixels : ndarray of uint8
        Pictures (n, size, size, 3) on which ranges are measured.

    Raises
    ------
    MissingExtraError, InputError
        onnxruntime is not installed; the graph has a Range.
    """
    onnx = need("onnx", extra="onnx")
    need("onnxruntime", extra="onnx")
    # onnxruntime is an optional package, so import it only where it is needed
    from onnxruntime import quantization

    logger = logging.getLogger()
    level = logger.level
    with TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        try:
            # onnxruntime logs the advice to run shape inference, which was done already
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
                # use 7 bits: processors without VNNI add pairs of products in 16 bits, which
                # products of 8-bit weights would overflow
                reduce_range=True,
            )
        finally:
            logger.setLevel(level)
        result = onnx.load(str(target))
    if any(node.op_type == "Range" for node in result.graph.node):
        raise InputError("graph in 8-bit integers", rule="hold no Range, which OpenVINO misreads")
    return result
