"""Run image encoders of other libraries: timm, transformers, ONNX, exported programs, modules."""
