"""Export the model to ONNX, for programs without torch.

  uv run --extra onnx malaria export --onnx model.onnx
  uv run --extra onnx malaria export --onnx model.onnx --int8     # a quarter of the size

The file takes uint8 (N, size, size, 3) and returns probabilities, with normalisation, calibration and model card in it.
It is compared with torch on the cells of data/, or on synthetic ones.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from malaria.cli._options import add_model
from malaria.core.errors import UserError
from malaria.data.decode import Pixels
from malaria.data.index import CLASSES, read_index
from malaria.evaluation.metrics import Array
from malaria.evaluation.model_card import ModelCard
from malaria.model.dataset import CellFile
from malaria.model.hardware import prepare
from malaria.predict.load import as_classifier, load_model, load_scorer
from malaria.smear.crops import decode
from malaria.sources.drawing.sets import draw_cells

try:
    from malaria.predict.export import CALIBRATION, TOLERANCE, export_onnx, quantise
except ModuleNotFoundError as error:
    raise UserError(f"{error.name} is not installed; `uv run --extra onnx malaria export ...` installs it") from None

CELLS, SPLIT = Path("data/cells.npy"), Path("data/split.csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--onnx", required=True, metavar="FILE.onnx", help="where to write it")
    parser.add_argument("--int8", action="store_true", help="quantised to 8 bits, on cells of data/cells.npy")
    add_model(parser)


def run(options: argparse.Namespace) -> None:
    """Write the file, if its probabilities are those of torch; print how they differ."""
    if not options.onnx.endswith(".onnx"):
        raise UserError(f"--onnx {options.onnx}: give the file a name that ends in .onnx")
    prepare(seed=0)
    scorer, card = load_scorer(options.model)
    cells, labels, what = _find_cells(card)
    expected = as_classifier(scorer, card).score(cells)[0]
    with tempfile.TemporaryDirectory() as folder:
        exported, small = Path(folder) / "exported.onnx", Path(folder) / "small.onnx"
        export_onnx(scorer, card, exported)
        if options.int8:
            quantise(exported, read_split(card, "train", CALIBRATION)[0], small)
        probabilities = {"onnx": load_model(exported).score(cells)[0]}
        probabilities |= {"onnx int8": load_model(small).score(cells)[0]} if options.int8 else {}
        sizes = [path.stat().st_size for path in (exported, small) if path.exists()]
        if (off := np.abs(probabilities["onnx"] - expected).max()) > TOLERANCE:
            raise UserError(f"not written: it differs from torch by {off:.2g} in probability; please report it")
        shutil.copyfile(small if options.int8 else exported, options.onnx)
    print(compare({"torch": expected} | probabilities, labels, card.threshold, [float("nan"), *sizes]))
    print(f"on {what}\n{options.onnx} written")


def compare(probabilities: dict[str, Array], labels: Array, threshold: float, sizes: list[float]) -> str:
    """A line a model: size, accuracy, and how its probabilities and predictions differ from the first's."""
    first = next(iter(probabilities.values()))
    rows = [
        {
            "": name,
            "MB": size / 1e6,
            "accuracy %": 100 * np.mean((probability >= threshold) == labels),
            "largest difference": np.abs(probability - first).max(),
            "other predictions": np.sum((probability >= threshold) != (first >= threshold)),
        }
        for (name, probability), size in zip(probabilities.items(), sizes, strict=True)
    ]
    digits = {"MB": "{:.2f}".format, "accuracy %": "{:.2f}".format}
    return pd.DataFrame(rows).to_string(index=False, na_rep="", formatters=digits)


def _find_cells(card: ModelCard) -> tuple[Pixels, Array, str]:
    """Cells to compare on, their labels, and what they are: those of test, or synthetic ones where these are absent."""
    try:
        cells, labels = read_split(card, "test")
        return cells, labels, f"the {len(cells):,} cells of test in {CELLS}"
    except UserError as error:
        drawn = list(draw_cells(patients=10, cells=200, seed=0, workers=1))
        squares = [decode(png, card.preprocess) for _, png in drawn]
        return (
            np.stack(squares),
            np.array([CLASSES.index(name.partition("/")[0]) for name, _ in drawn]),
            f"200 synthetic cells, since {error}",
        )


def read_split(card: ModelCard, name: str, most: int | None = None) -> tuple[Pixels, Array]:
    """Cells of a split, (N, size, size, 3), and their labels; some at random if there are more than `most`.

    Raises:
        UserError: they are not here, are damaged, or not of the size that the model takes.
    """
    if not (SPLIT.exists() and CELLS.exists()):
        raise UserError(f"{CELLS} and {SPLIT} are not here: `uv run dvc pull {CELLS} {SPLIT}` or `dvc repro`")
    table, file = read_index(SPLIT), CellFile(CELLS)
    if file.shape[1] != card.size:
        raise UserError(f"{CELLS} is of {file.shape[1]} px and the model of {card.size}")
    rows = table[table.split == name]
    rows = rows.sample(most, random_state=0) if most and most < len(rows) else rows
    return file[torch.tensor(rows.index.to_numpy())].numpy(), rows.label.to_numpy()
