"""Which changes of train.augment=robust help elsewhere? `uv run python bench/recipe.py MODEL CROPS` writes it down.

Continues the training of MODEL (a folder; docs/RESULTS.md says which) for STEPS steps as robust epochs do, with parts
of the recipe left out, and with single ones alone, each with SEEDS seeds. Evaluates what comes out on another
laboratory's labelled CROPS and on drawn photographs of three laboratories, as `bench/external.py` reads them, and on
NIH's val.
"""

import argparse
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import ExitStack
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import torch
from torch import Generator, Tensor, nn

from bench.external import DRAWN, PATIENTS, Cells, draw_cells, join, read_crops
from bench.results import to_markdown, write_down
from malaria.core.workers import count_cores, start_pool
from malaria.data.index import read_index
from malaria.evaluation.metrics import classification_metrics, ranking_metrics
from malaria.model import dataset as datasets
from malaria.model import hardware, laboratory
from malaria.model.inference import predict_logits
from malaria.model.trainer import Trainer
from malaria.model.weights import read_model
from malaria.params import load_params

SEEDS, STEPS = 3, 100
LABORATORIES = ("as NLM's", "another microscope (BLUE)", "another camera (VIVID)")

Sets = Mapping[str, Cells]


def leave(batch: Tensor, random: Generator) -> Tensor:
    return batch


MASKS = dict.fromkeys(("erode", "dilate", "cut", "crowd"), leave)
FOCUS = {"sharpen": leave, "noise": leave}
DENSITY = {"DENSITY": (1.0, 1.0), "MIXING": 0.0, "STAINING": 0.0}
THICKNESS = {"PALLOR": (0.0, 0.0), "SHADE": 0.0}
CONTRAST = {"CONTRAST": (1.0, 1.0)}
STAIN = {"stain": leave}
VARIANTS: dict[str, dict[str, Any]] = {  # attributes of malaria.model.laboratory, or of the trainer
    "robust": {},
    "without averaged weights": {"averaged": None},
    "without masks": MASKS,
    "without focus and noise": FOCUS,
    "without densities of the stain": DENSITY,
    "without pallor and shade": THICKNESS,
    "without contrast": CONTRAST,
    "masks alone": STAIN | FOCUS,
    "focus and noise alone": STAIN | MASKS,
    "densities of the stain alone": THICKNESS | CONTRAST | FOCUS | MASKS,
    "pallor and shade alone": DENSITY | CONTRAST | FOCUS | MASKS,
    "contrast alone": DENSITY | THICKNESS | FOCUS | MASKS,
    "full": {"policy": "full"},
}


def run(task: tuple[str, int], model: Path, sets: Sets) -> dict[str, object]:
    """The metrics of one variant and seed."""
    name, seed = task
    torch.set_num_threads(1)
    hardware.prepare(seed)
    with ExitStack() as switched:
        trainer = start(model, seed)
        for key, value in VARIANTS[name].items():
            if hasattr(laboratory, key):
                switched.enter_context(patch.object(laboratory, key, value))
            else:
                setattr(trainer, key, value)
        train(trainer)
        network = trainer.average()
    return {"variant": name, "seed": seed} | evaluate(network, sets) | evaluate_val(network, trainer.cells)


def start(path: Path, seed: int) -> Trainer:
    """A trainer that begins with robust epochs."""
    params, index = load_params(), read_index(Path("data/split.csv"))
    model, _ = read_model(path / "model.safetensors")
    cells = datasets.load_cells(Path("data/cells.npy"), index, torch.device("cpu"), params.preprocess.size)
    trainer = Trainer(model, cells, params.train.model_copy(update={"seed": seed, "robust_epochs": 1}), "fp32", STEPS)
    trainer.begin_epoch(frozen=False)
    trainer.begin_robust()
    return trainer


def train(trainer: Trainer) -> None:
    size = trainer.params.batch_size
    batches = (rows for _ in range(STEPS) for rows in trainer.shuffle() if len(rows) == size)
    for rows in islice(batches, STEPS):
        trainer.step(rows)


def evaluate(network: nn.Module, sets: Sets) -> dict[str, float]:
    """ROC AUC and balanced accuracy on each set."""
    values = {}
    for name, cells in sets.items():
        metrics = measure(network, torch.from_numpy(cells.pixels), torch.from_numpy(cells.labels))
        values |= {f"{name}_{of}": metrics[of] for of in ("roc_auc", "balanced", "specificity")}
    return values


def evaluate_val(network: nn.Module, cells: datasets.Cells) -> dict[str, float]:
    rows = cells.rows["val"]
    return {"nih_accuracy": measure(network, cells.pixels[rows], cells.labels[rows])["accuracy"]}


def measure(network: nn.Module, pixels: Tensor, labels: Tensor) -> dict[str, float]:
    logits = predict_logits(network, pixels, torch.arange(len(pixels)), "fp32").sigmoid().numpy()
    table = pd.DataFrame({"label": labels.long().numpy(), "patient": "", "probability": logits})
    rates = classification_metrics(table, 0.5).iloc[0]
    auc = ranking_metrics(table).roc_auc.iloc[0]
    return {**rates, "roc_auc": auc, "balanced": (rates.sensitivity + rates.specificity) / 2}


def read_sets(crops: Path, pool: Executor) -> dict[str, Cells]:
    """The crops, and the cells of LABORATORIES."""
    how = load_params().preprocess
    labs = [
        join(list(pool.map(partial(draw_cells, drawn=DRAWN[name], how=how), range(PATIENTS)))) for name in LABORATORIES
    ]
    return {"crops": read_crops(crops, how), "drawn": join(labs)}


def render(table: pd.DataFrame) -> str:
    """A row a variant: the mean of the seeds, and their range."""
    columns = {
        "crops: AUC": ("crops_roc_auc", 1, ".3f"),
        "crops: specificity %": ("crops_specificity", 100, ".0f"),
        "crops: balanced accuracy %": ("crops_balanced", 100, ".1f"),
        "drawn: AUC": ("drawn_roc_auc", 1, ".3f"),
        "drawn: balanced accuracy %": ("drawn_balanced", 100, ".1f"),
        "NIH's val: accuracy %": ("nih_accuracy", 100, ".2f"),
        "criterion": ("criterion", 1, ".3f"),
    }
    parts = ["crops_roc_auc", "drawn_roc_auc", "crops_balanced", "drawn_balanced"]
    rows = []
    for name, seeds in table.assign(criterion=table[parts].mean(axis=1)).groupby("variant", sort=False):
        row = {"variant": name}
        for title, (column, factor, digits) in columns.items():
            mean, low, high = (factor * value for value in (seeds[column].mean(), *seeds[column].agg(["min", "max"])))
            row[title] = f"{mean:{digits}} ({low:{digits}} to {high:{digits}})"
        rows.append(row)
    return to_markdown(pd.DataFrame(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("crops", type=Path, metavar="CROPS")
    options = parser.parse_args()
    with start_pool(count_cores()) as pool:
        sets = read_sets(options.crops, pool)
        tasks = [(name, seed) for seed, name in product(range(SEEDS), VARIANTS)]
        rows = []
        for row in pool.map(partial(run, model=options.model, sets=sets), tasks):
            rows.append(row)
            print(*row.values(), flush=True)
    write_down("recipe", pd.DataFrame(rows).sort_values("seed", kind="stable"), render)


if __name__ == "__main__":
    main()
