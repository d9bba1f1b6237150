"""Run image networks (encoders) of timm, transformers, ONNX files and PyTorch as backbones."""
