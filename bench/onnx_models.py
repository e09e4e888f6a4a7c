"""What does a prediction cost without torch? `uv run --extra onnx python bench/onnx_models.py`

Exports the model of models/, in fp32 and quantised to 8 bits, and prints of torch and of both in onnxruntime: the size
of the file, accuracy on the test cells, and milliseconds a cell, one at a time and 64 at once, on all cores.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

from bench.timing import fastest
from malaria import load_model
from malaria.cli.export import read_split
from malaria.data.decode import Pixels
from malaria.evaluation.metrics import Array
from malaria.model.hardware import describe_device, prepare
from malaria.predict.classifier import Classifier
from malaria.predict.export import CALIBRATION, export_onnx, quantise
from malaria.predict.load import as_classifier, load_scorer

MANY = 64
SECONDS = 2.0  # to time each for, at the least


def describe(name: str, model: Classifier, path: Path, cells: Pixels, labels: Array) -> str:
    accuracy = np.mean((model.score(cells)[0] >= model.card.threshold) == labels)
    alone, many = (1000 * fastest(lambda n=n: model.score(cells[:n]), SECONDS) / n for n in (1, MANY))
    return f"{name:<12}{path.stat().st_size / 1e6:>6.2f}{100 * accuracy:>12.2f}{alone:>10.2f}{many:>10.3f}"


def main() -> None:
    prepare(0)
    scorer, card = load_scorer("models")
    cells, labels = read_split(card, "test")
    print(describe_device(torch.device("cpu")))
    print(f"{'':<12}{'MB':>6}{'accuracy %':>12}{'ms alone':>10}{f'ms of {MANY}':>10}")
    with tempfile.TemporaryDirectory() as folder:
        full, small = Path(folder) / "full.onnx", Path(folder) / "small.onnx"
        export_onnx(scorer, card, full)
        quantise(full, read_split(card, "train", CALIBRATION)[0], small)
        print(describe("torch", as_classifier(scorer, card), Path("models/model.safetensors"), cells, labels))
        print(describe("onnx", load_model(full), full, cells, labels))
        print(describe("onnx int8", load_model(small), small, cells, labels))


if __name__ == "__main__":
    main()
