"""`malaria export`: write the model as ONNX, and say how near it is to the one in torch."""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from malaria import compute, names
from malaria.cells import CellFile
from malaria.errors import UserError
from malaria.images import Pixels, decode
from malaria.metrics import Array
from malaria.model_card import ModelCard
from malaria.model_sources import as_classifier, load_model, load_scorer
from malaria.outs import read_table
from malaria.synthetic import draw_cells

CELLS, SPLIT = Path("data/cells.npy"), Path("data/split.csv")


def run(options: argparse.Namespace) -> None:
    """Write the file, once what it says was compared with torch; the table of that goes to standard output."""
    try:
        from malaria.export import CALIBRATION, TOLERANCE, export_onnx, quantise
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is missing; `uv run --extra onnx malaria export ...` brings it") from None
    if not options.onnx.endswith(".onnx"):
        raise UserError(f"--onnx {options.onnx}: give the file a name that ends in .onnx")
    compute.prepare(seed=0)
    scorer, card = load_scorer(options.model)
    cells, labels, what = _find_cells(card)
    expected = as_classifier(scorer, card).score(cells)[0]
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "whole.onnx", Path(folder) / "small.onnx"
        export_onnx(scorer, card, whole)
        if options.int8:
            quantise(whole, read_split(card, "train", CALIBRATION)[0], small)
        said = {"onnx": load_model(whole).score(cells)[0]}
        said |= {"onnx int8": load_model(small).score(cells)[0]} if options.int8 else {}
        sizes = [path.stat().st_size for path in (whole, small) if path.exists()]
        if (off := np.abs(said["onnx"] - expected).max()) > TOLERANCE:
            raise UserError(f"not written: it differs from torch by {off:.2g} in probability; please report it")
        shutil.copyfile(small if options.int8 else whole, options.onnx)
    print(compare({"torch": expected} | said, labels, card.threshold, [float("nan"), *sizes]))
    print(f"on {what}\n{options.onnx} written")


def compare(said: dict[str, Array], labels: Array, threshold: float, sizes: list[float]) -> str:
    """A line a model: size, accuracy, and how its probabilities and decisions differ from those of the first."""
    first = next(iter(said.values()))
    rows = [
        {
            "": name,
            "MB": size / 1e6,
            "accuracy %": 100 * np.mean((probability >= threshold) == labels),
            "largest difference": np.abs(probability - first).max(),
            "other decisions": np.sum((probability >= threshold) != (first >= threshold)),
        }
        for (name, probability), size in zip(said.items(), sizes, strict=True)
    ]
    digits = {"MB": "{:.2f}".format, "accuracy %": "{:.2f}".format}
    return pd.DataFrame(rows).to_string(index=False, na_rep="", formatters=digits)


def _find_cells(card: ModelCard) -> tuple[Pixels, Array, str]:
    """Cells to compare on, their labels, and what they are: those of test, or drawn ones where these are not here."""
    try:
        cells, labels = read_split(card, "test")
        return cells, labels, f"the {len(cells):,} cells of test in {CELLS}"
    except UserError as error:
        drawn = list(draw_cells(patients=10, cells=200, seed=0, workers=1))
        squares = [decode(png, card.size, card.fit) for _, png in drawn]
        return np.stack(squares), np.array([names.label(name) for name, _ in drawn]), f"200 drawn cells, since {error}"


def read_split(card: ModelCard, name: str, most: int | None = None) -> tuple[Pixels, Array]:
    """Cells of a split, (N, size, size, 3), and their labels; some at random if there are more than `most`.

    Raises:
        UserError: they are not here, are damaged, or not of the size that the model takes.
    """
    if not (SPLIT.exists() and CELLS.exists()):
        raise UserError(f"{CELLS} and {SPLIT} are not here: `uv run dvc pull {CELLS} {SPLIT}` or `dvc repro`")
    table, file = read_table(SPLIT, ("label", "split")), CellFile(CELLS)
    if file.shape[1] != card.size:
        raise UserError(f"{CELLS} is of {file.shape[1]} px and the model of {card.size}")
    rows = table[table.split == name]
    rows = rows.sample(most, random_state=0) if most and most < len(rows) else rows
    return file[torch.tensor(rows.index.to_numpy())].numpy(), rows.label.to_numpy()
