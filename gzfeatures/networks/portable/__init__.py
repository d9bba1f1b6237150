"""Turn backbones into ONNX graphs, and run graphs of heads in the libraries of others."""
