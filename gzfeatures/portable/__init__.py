"""Export a head, with or without its backbone, as one ONNX file; read such files as heads."""
