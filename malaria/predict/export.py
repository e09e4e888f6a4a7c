"""Export a model to ONNX, in fp32 or quantised to 8 bits, for programs without torch."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch

from malaria.core.artifacts import write_bytes
from malaria.data.decode import Pixels
from malaria.evaluation.model_card import ModelCard
from malaria.predict.load import Scorer
from malaria.predict.onnx_runtime import quantization, shape_inference

TOLERANCE = 1e-4  # of a probability, between torch and onnxruntime
CALIBRATION = 512  # cells to find the range of each layer with
QUANTISED = ["Conv", "Relu", "Add"]  # in 8 bits; the last layer, and the OOD statistics, stay in fp32


def export_onnx(scorer: Scorer, card: ModelCard, path: Path) -> None:
    """Write it: `cells` (N, size, size, 3) uint8 in, `probability` (N,) and `scores` (N, 8) float32 out.

    Its metadata holds the model card as JSON under `card`.
    """
    cells = torch.zeros(2, card.size, card.size, 3, dtype=torch.uint8)
    program = torch.onnx.export(
        scorer.cpu().eval(),
        (cells,),
        input_names=["cells"],
        output_names=["probability", "scores"],
        dynamic_shapes=({0: torch.export.Dim("n")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # where on this machine the code that made it lies
    onnx.helper.set_model_props(model, {"card": card.model_dump_json()})
    write_bytes(path, model.SerializeToString())


def quantise(exported: Path, cells: Pixels, path: Path) -> None:
    """Write an exported model anew with convolutions in 8 bits, their ranges found on (N, size, size, 3) cells."""
    logging.getLogger().setLevel(logging.ERROR)  # it recommends on the root logger what was done just before
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "quantised.onnx"
        shape_inference.quant_pre_process(exported, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            quantised,
            _Calibration(cells),
            op_types_to_quantize=QUANTISED,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        model = onnx.load(quantised)
    onnx.helper.set_model_props(model, {entry.key: entry.value for entry in onnx.load(exported).metadata_props})
    write_bytes(path, model.SerializeToString())


class _Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Hands out cells 64 at a time."""

    def __init__(self, cells: Pixels) -> None:
        self._batches: Iterator[Pixels] = iter(np.array_split(cells, max(1, len(cells) // 64)))

    def get_next(self) -> dict[str, Pixels] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"cells": batch}
