#!/usr/bin/env bash
# OpenVINO 2026.4.1 reads the ONNX operator Resize with antialias=1 and resamples without antialiasing, silently:
# a network whose graph shrinks its pictures sees other pixels than under onnxruntime.
# Seen: 424 to 96 px of white noise, onnxruntime and OpenVINO up to 130 of 255 apart.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q openvino==2026.4.1 onnxruntime==1.32.0 onnx numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

node = helper.make_node(
    "Resize", ["x", "", "", "sizes"], ["y"], mode="linear", antialias=1, coordinate_transformation_mode="half_pixel"
)
graph = helper.make_graph(
    [node],
    "shrink",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 424, 424])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 96, 96])],
    [numpy_helper.from_array(np.array([1, 1, 96, 96]), "sizes")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, "shrink.onnx")
picture = np.random.default_rng(0).uniform(0, 255, (1, 1, 424, 424)).astype("f4")
right = onnxruntime.InferenceSession("shrink.onnx").run(None, {"x": picture})[0]
core = openvino.Core()
compiled = core.compile_model(core.read_model("shrink.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
found = compiled(picture)[0]
apart = np.abs(right - found).max()
print(f"onnxruntime std {right.std():.1f}, OpenVINO std {found.std():.1f}, up to {apart:.0f} of 255 apart")
assert apart > 10, "behaviour changed"
PY
