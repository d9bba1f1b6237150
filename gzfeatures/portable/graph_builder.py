"""Build an ONNX graph operator by operator; the builder chooses the names of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import need

EXTRA = "onnx"
OPSET = 20
"""Version of ONNX's operators: the newest that PyTorch writes and all supported libraries read."""
IR_VERSION = 10
"""Version of ONNX's file format that belongs to operators of version `OPSET`."""
Value: TypeAlias = str
"""Name of a tensor in an ONNX graph."""


class GraphBuilder:
    """Collect operators and constants of an ONNX graph whose inputs have a row per galaxy.

    Examples
    --------
    >>> builder = GraphBuilder("vectors")
    >>> builder.node("Mul", "vectors", builder.constant([2.0]))
    'mul_1'
    """

    def __init__(self, name: str) -> None:
        self._onnx = need("onnx", extra=EXTRA)
        self._name = name
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._outputs: list[Any] = []

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> Value:
        """Add a constant tensor to the graph; return its name."""
        array = np.ascontiguousarray(values, dtype=dtype).reshape(np.shape(values))
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def node(self, operator: str, *inputs: Value, **attributes: Any) -> Value:
        """Add an operator with one output to the graph; return the output's name."""
        return self.named(
            f"{operator.lower()}_{len(self._nodes) + 1}", operator, *inputs, **attributes
        )

    def named(self, output: Value, operator: str, *inputs: Value, **attributes: Any) -> Value:
        """Add an operator whose output gets the given name; return this name."""
        self._nodes.append(
            self._onnx.helper.make_node(
                operator, list(inputs), [output], name=f"{output}_node", **attributes
            )
        )
        return output

    def output(self, name: str, value: Value, dtype: npt.DTypeLike, width: int | None) -> None:
        """Declare a tensor of shape (n,) or (n, width) as an output of the graph, with a name."""
        if value != name:
            self.named(name, "Identity", value)
        helper = self._onnx.helper
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        shape: list[str | int] = ["n"] if width is None else ["n", width]
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def model(self, inputs: Mapping[str, int]) -> Any:
        """Return the graph as an ONNX model; each input is a float32 table (n, width)."""
        helper = self._onnx.helper
        taken = [
            helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, ["n", width])
            for name, width in inputs.items()
        ]
        graph = helper.make_graph(self._nodes, self._name, taken, self._outputs, self._constants)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        self._onnx.checker.check_model(model)
        return model

    def columns(self, value: Value, columns: npt.ArrayLike) -> Value:
        """Add an operator that selects columns of a tensor, in order; return the output's name."""
        return self.node("Gather", value, self.constant(columns, np.int64), axis=1)

    def total(self, value: Value, axis: int = 1, *, keep: bool = True) -> Value:
        """Add an operator that sums a tensor along an axis; return the output's name."""
        return self.node("ReduceSum", value, self.constant([axis], np.int64), keepdims=int(keep))

    def shared(self, value: Value) -> Value:
        """Add an operator that divides each row by the row's sum; return the output's name."""
        return self.node("Div", value, self.total(value))
