"""Find layers of another library's network that are in train mode, or resize unlike PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from gzfeatures.networks.encoders.pooled_area import LAYERS, operator_of
from gzfeatures.networks.encoders.soundness import Trial

TRAINING, RESIZING = "layers in train mode", "resizing of the images"
"""Names of the two tests of a network, which the report of the tests shows."""
RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli")
"""Operators of ONNX that draw random numbers."""
TORCH_RANDOM = ("rand", "rand_like", "randn", "randn_like", "bernoulli", "normal_functional")
TORCH_NORMS = (
    *("batch_norm", "native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit"),
    *("_native_batch_norm_legit_functional", "_native_batch_norm_legit_no_training"),
    *("_batch_norm_with_update", "_batch_norm_no_update", "_batch_norm_with_update_functional"),
)
TORCH_DROPOUTS = ("dropout", "native_dropout", "feature_dropout", "alpha_dropout")
TORCH_MEANS = ("mean", "var", "std", "var_mean", "std_mean")
ALIVE = {"training", "train", "use_input_stats"}
"""Arguments of PyTorch's operators that are true in train mode."""
REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2")


def training_of_onnx(model: Any) -> Trial:
    """Test whether batch norms or dropouts of an ONNX model are still in train mode.

    If a file takes one image at a time, comparing batches cannot show a batch norm in train mode:
    it normalises by the statistics of the single image, so the vector is wrong but repeatable.

    Parameters
    ----------
    model : ModelProto
    """
    nodes, constants = _nodes(model), _constants(model)
    norms = [node for node in nodes if node.op_type == "BatchNormalization"]
    dropouts = [node for node in nodes if node.op_type == "Dropout"]
    # collect the values computed from the images: a batch norm that reads its mean or variance from
    # these computes them from the batch, as in training
    of_images = _reached(model, constants)
    alive = [_called(node) for node in norms if _learns(node, of_images)]
    alive += [_called(node) for node in dropouts if _drops(node, constants)]
    alive += [_called(node) for node in nodes if node.op_type in RANDOM]
    across = [_called(node) for node in nodes if _reduces_batch(node, constants)]
    return _training(alive, across, len(norms), len(dropouts))


def training_of_program(module: torch.fx.GraphModule) -> Trial:
    """Test whether batch norms or dropouts of an exported program are still in train mode.

    Parameters
    ----------
    module : GraphModule
        Result of `ExportedProgram.module()`.
    """
    alive, across, counts = [], [], {True: 0, False: 0}
    for node in module.graph.nodes:
        name = operator_of(node)
        given = _arguments(node) if name else {}
        if name in (*TORCH_NORMS, *TORCH_DROPOUTS):
            counts[name in TORCH_NORMS] += 1
            # a dropout with probability 0 drops nothing, so train mode does no harm
            drops = name in TORCH_NORMS or float(given.get("p") or 0) > 0
            if drops and any(given.get(word) for word in ALIVE):
                alive.append(node.name)
        elif name in TORCH_RANDOM or float(given.get("dropout_p") or 0) > 0:
            alive.append(node.name)
        elif name in TORCH_MEANS and _is_map(node.args[0]) and _has_batch(given.get("dim")):
            across.append(node.name)
    return _training(alive, across, counts[True], counts[False])


def _training(alive: list[str], across: list[str], norms: int, dropouts: int) -> Trial:
    """Return the result of the test for train mode; unknown if a network averages over a batch."""
    counted = f"{norms} batch norms, {dropouts} dropouts"
    if alive:
        return Trial(TRAINING, False, f"{', '.join(alive[:3])} in train mode; {counted}")
    if across:
        return Trial(TRAINING, None, f"{across[0]} averages over the images of a batch")
    return Trial(TRAINING, True, f"{counted}, none of them")


def _nodes(model: Any) -> list[Any]:
    """Return all operators (nodes) of an ONNX model, also those inside its functions."""
    return [*model.graph.node, *(node for each in model.functions for node in each.node)]


def _constants(model: Any) -> Mapping[str, Any]:
    """Map each constant tensor of an ONNX model, by name, to its value; to None if it is long."""
    from onnx import TensorProto, numpy_helper

    found: dict[str, Any] = {}
    for tensor in model.graph.initializer:
        outside = tensor.data_location == TensorProto.EXTERNAL
        # read short tensors only: axes and flags are short, and reading all weights would take long
        short = not outside and int(np.prod(tensor.dims)) <= 64
        found[tensor.name] = numpy_helper.to_array(tensor) if short else None
    for node in _nodes(model):
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type in ("Constant", "Identity", "Cast") and all(
            name in found for name in node.input
        ):
            found[node.output[0]] = found[node.input[0]] if node.input else None
    return found


def _attribute(node: Any, name: str, default: Any) -> Any:
    """Return the value of an attribute of an ONNX operator, or a default if it has none."""
    import onnx

    for each in node.attribute:
        if each.name == name:
            value = onnx.helper.get_attribute_value(each)
            return value.decode() if isinstance(value, bytes) else value
    return default


def _reached(model: Any, constants: Mapping[str, Any]) -> set[str]:
    """Return the names of all values in an ONNX graph that are computed from the input images."""
    met = {each.name for each in model.graph.input if each.name not in constants}
    for node in model.graph.node:
        if met.intersection(node.input):
            met.update(node.output)
    return met


def _learns(node: Any, of_images: set[str]) -> bool:
    """Return whether a batch norm computes mean and variance from the batch, as in training."""
    # before version 14 of the ONNX operators, a batch norm in train mode had more than one output
    more = [name for name in node.output[1:] if name]
    computed = bool(of_images.intersection(node.input[3:5]))
    return bool(_attribute(node, "training_mode", 0)) or bool(more) or computed


def _drops(node: Any, constants: Mapping[str, Any]) -> bool:
    """Return whether an ONNX Dropout sets values to zero, always or if an input switches it on."""
    if len(node.input) < 3 or not node.input[2]:
        return False
    flag = constants.get(node.input[2])
    ratio = constants.get(node.input[1]) if node.input[1] else 0.5
    return (flag is None or bool(flag)) and (ratio is None or float(ratio) > 0)


def _reduces_batch(node: Any, constants: Mapping[str, Any]) -> bool:
    """Return whether an ONNX operator averages over the images of a batch and a further axis."""
    if node.op_type not in REDUCTIONS:
        return False
    axes = _attribute(node, "axes", None)
    if axes is None and len(node.input) > 1:
        axes = constants.get(node.input[1])
    return axes is not None and 0 in list(np.atleast_1d(axes)) and len(np.atleast_1d(axes)) > 1


def _called(node: Any) -> str:
    return f"{node.op_type} {node.name}".strip()


def _arguments(node: torch.fx.Node) -> dict[str, Any]:
    """Map the argument names of a PyTorch operator in a graph to their values."""
    schema = getattr(node.target, "_schema", None)
    names = [each.name for each in schema.arguments] if schema is not None else []
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}


def _is_map(argument: Any) -> bool:
    """Return whether an operator's input has four axes, as feature maps have; True if unknown."""
    value = argument.meta.get("val") if isinstance(argument, torch.fx.Node) else None
    return getattr(value, "ndim", 4) == 4


def _has_batch(axes: Any) -> bool:
    """Return whether the axes of an average include axis 0 (images of a batch) and another axis."""
    found = [] if axes is None else [axes] if isinstance(axes, int) else list(axes)
    return 0 in found and len(found) > 1


def resizing_of_onnx(model: Any, size: int) -> list[Trial]:
    """Test for each Resize of an ONNX model whether it resizes as PyTorch does; [] without Resize.

    ONNX's Resize equals the antialiased resize of PyTorch and Pillow only with `exclude_outside`;
    bicubic also needs a coefficient of −0.5 (ONNX's default is −0.75).

    Parameters
    ----------
    model : ModelProto
    size : int
        Side of the images in px.
    """
    constants = _constants(model)
    found = []
    for node in _before_layers(model, constants):
        if node.op_type in ("Resize", "Upsample"):
            reason = _unlike_torch(node, constants, size)
            found.append(Trial(RESIZING, None if reason else True, reason or "as PyTorch resizes"))
    return found


def _before_layers(model: Any, constants: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the ONNX operators that act on images before the first convolution or linear layer."""
    met = {each.name for each in model.graph.input if each.name not in constants}
    for node in model.graph.node:
        if node.op_type in (*LAYERS, "Gemm", "MatMul") or not met.intersection(node.input):
            continue
        met.update(node.output)
        yield node


def _unlike_torch(node: Any, constants: Mapping[str, Any], size: int) -> str:
    """Return why an ONNX Resize gives other pixels than PyTorch's; "" if the pixels are equal."""
    mode = _attribute(node, "mode", "nearest")
    cubic = mode == "cubic"
    if not _attribute(node, "antialias", 0):
        return "" if _enlarges(node, constants, size) else f"{mode} without antialias"
    if not _attribute(node, "exclude_outside", 0):
        return f"{mode}, antialiased without exclude_outside: other pixels at the edges"
    coefficient = float(_attribute(node, "cubic_coeff_a", -0.75))
    if cubic and abs(coefficient + 0.5) > 1e-6:
        return f"cubic with a coefficient of {coefficient:g}: PyTorch's and Pillow's is -0.5"
    return ""


def _enlarges(node: Any, constants: Mapping[str, Any], size: int) -> bool:
    """Return whether an ONNX Resize certainly makes no side of an image smaller."""
    scales = constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    sizes = constants.get(node.input[3]) if len(node.input) > 3 and node.input[3] else None
    if scales is not None and len(scales):
        return bool((np.asarray(scales) >= 1).all())
    # ignore output sizes of 1, 2 or 3: they are numbers of images or colours, not sides of an image
    return sizes is not None and all(side >= size or side <= 3 for side in sizes)
