"""onnxruntime, told to keep to itself: since 1.29 it writes an id into the home and reports its use over the network.

Import it from here alone, since it looks at the variable once, when it is loaded.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
from onnxruntime import quantization
from onnxruntime.quantization import shape_inference

__all__ = ["onnxruntime", "quantization", "shape_inference"]
