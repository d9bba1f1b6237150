"""An exported graph in 8-bit integers has a scale for each channel, and no Range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gzfeatures.errors import InputError
from gzfeatures.portable.quantisation import quantised

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
SIDE, CHANNELS = 8, 6
FLOAT, UINT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8


def graph(ranged: bool = False) -> Any:
    """Two convolutions, of which the second has channels whose weights differ a thousandfold."""
    helper = onnx.helper
    rng = np.random.default_rng(0)
    first = rng.normal(size=(4, 3, 1, 1)).astype(np.float32)
    scales = 10.0 ** -np.linspace(0, 3, CHANNELS)
    second = (rng.normal(size=(CHANNELS, 4, 1, 1)) * scales[:, None, None, None]).astype("f4")
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=FLOAT),
        helper.make_node("Transpose", ["floats"], ["images"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["images", "first"], ["a"], name="one"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["c"], name="two"),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["vectors"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(first, "first"),
        onnx.numpy_helper.from_array(second, "second"),
    ]
    outputs = [helper.make_tensor_value_info("vectors", FLOAT, [1, CHANNELS])]
    if ranged:
        numbers = [np.array(value, dtype=np.int64) for value in (0, 4, 1)]
        names = ["from", "to", "by"]
        constants += [
            onnx.numpy_helper.from_array(*pair) for pair in zip(numbers, names, strict=True)
        ]
        nodes.append(helper.make_node("Range", names, ["places"]))
        outputs.append(helper.make_tensor_value_info("places", onnx.TensorProto.INT64, [4]))
    taken = helper.make_tensor_value_info("pixels", UINT8, [1, SIDE, SIDE, 3])
    made = helper.make_graph(nodes, "g", [taken], outputs, constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def pictures() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (8, SIDE, SIDE, 3)).astype(np.uint8)


def test_each_output_channel_has_a_scale_of_its_own_so_that_weak_ones_keep_their_numbers() -> None:
    model = quantised(graph(), pictures())
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    (exact,) = (
        onnx.numpy_helper.to_array(each)
        for each in graph().graph.initializer
        if each.name == "second"
    )
    (weights,) = (each for name, each in arrays.items() if name == "second_quantized")
    (scale,) = (each for name, each in arrays.items() if name == "second_scale")
    assert scale.shape == (CHANNELS,)
    rounded = weights.astype(np.float32) * scale[:, None, None, None]
    largest = np.abs(exact).max((1, 2, 3))
    # one scale for all would round the weakest channel to nothing
    assert (np.abs(rounded - exact).max((1, 2, 3)) <= 0.02 * largest).all()


def test_the_first_layer_stays_in_floats() -> None:
    model = quantised(graph(), pictures())
    (first,) = (node for node in model.graph.node if node.name == "one")
    assert list(first.input) == ["images", "first"]


def test_a_graph_with_a_range_is_refused() -> None:
    with pytest.raises(InputError, match="hold no Range, which OpenVINO misreads"):
        quantised(graph(ranged=True), pictures())
