"""A trained forecaster as one ONNX file that needs nothing of this package."""
