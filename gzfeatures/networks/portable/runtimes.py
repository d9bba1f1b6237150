"""Run ONNX models from memory in onnxruntime or OpenVINO, at float32."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import need
from gzfeatures.networks.hardware import load_newest_tbb

Rows: TypeAlias = npt.NDArray[Any]
Run: TypeAlias = Callable[[Rows], Mapping[str, Rows]]
"""Function from an array of inputs, one row each, to the output arrays by name."""


def in_onnxruntime(data: bytes, threads: int = 0) -> Run:
    """Return a function that runs an ONNX model in onnxruntime; 0 threads mean one per core.

    Raises
    ------
    MissingExtraError
        The library is not installed.
    """
    runtime = need("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # stop onnxruntime from printing; its errors reach the caller as exceptions anyway
    options.log_severity_level = 4
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (taken,) = (each.name for each in session.get_inputs())
    names = [each.name for each in session.get_outputs()]
    return lambda rows: dict(zip(names, session.run(names, {taken: rows}), strict=True))


def in_openvino(data: bytes) -> Run:
    """Return a function that runs an ONNX model in OpenVINO at float32.

    Raises
    ------
    MissingExtraError
        The library is not installed.
    """
    load_newest_tbb()
    vino = need("openvino", extra="openvino")
    model = vino.Core().read_model(data)
    names = [next(iter(each.names)) for each in model.outputs]
    # ask for float32, because OpenVINO uses bfloat16 by default on CPUs that support it
    compiled = vino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()

    def run(rows: Rows) -> Mapping[str, Rows]:
        request.infer([rows])
        return {name: np.array(request.get_tensor(compiled.output(name)).data) for name in names}

    return run


RUNTIMES: dict[str, Callable[[bytes], Run]] = {
    "onnxruntime": in_onnxruntime,
    "openvino": in_openvino,
}


def installed() -> tuple[str, ...]:
    """Return the names of the installed libraries that can run ONNX models."""
    return tuple(name for name in RUNTIMES if importlib.util.find_spec(name) is not None)
