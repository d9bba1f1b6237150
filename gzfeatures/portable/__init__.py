"""Export a head, with or without its backbone, as one ONNX file for other programs; read it too."""
