"""Write backbones as ONNX graphs, and run ONNX graphs in onnxruntime and OpenVINO."""
