"""Write a head, with its backbone, as one ONNX graph that other programs run, and read it back."""
