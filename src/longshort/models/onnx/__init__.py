"""Networks that leave as ONNX, and foreign ones that come in."""
