"""What computes a trained network: torch or ONNX Runtime, in which numbers, with how many threads."""
