"""Export a head, with its backbone, as one ONNX file for other programs; read such files."""
