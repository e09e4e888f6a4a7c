"""How many labels are enough? `uv run python bench/adaptation.py CELLS [--zero-shot MODEL...]` writes it down.

CELLS are another laboratory's labelled crops (a folder or CSV file, as for `malaria adapt`). Half of them are the test
set, the others the pool from which N are labelled, at random or actively: one of each of N clusters of the network's
features, the one whose prediction is least certain. For each N and seed, which also divides the cells, `models` is
fine-tuned as `malaria adapt` does, and evaluated on the test half and on NIH's test split (a sample). N = 0 is the
model as it is, and those of --zero-shot. As a check, the same on NIH's own test patients, half of them the pool.

Writes docs/results/adaptation.csv, docs/images/adaptation.png, and the medians over seeds into docs/RESULTS.md.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn

from bench.results import to_markdown, write_down
from malaria.core.artifacts import write_bytes
from malaria.data.decode import Pixels
from malaria.data.index import CLASSES, read_index
from malaria.evaluation.metrics import Array, ranking_metrics
from malaria.labelling.queue import choose_actively
from malaria.model.dataset import CellFile
from malaria.model.hardware import prepare
from malaria.model.inference import TTA, predict_logits
from malaria.predict import finetune
from malaria.predict.adapt import Base, Replay, adapt, find_replay, read_base
from malaria.predict.labelled import LabelledCells, read_labelled
from malaria.report.charts import BLUE, GRAY, ORANGE, to_png

LABELS = (10, 25, 50, 100, 200)
SEEDS = 5
HOME_CELLS = 600  # of NIH's test split
CELLS, SPLIT = Path("data/cells.npy"), Path("data/split.csv")
PICTURE = Path("docs/images/adaptation.png")

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """Cells (N, size, size, 3) and their labels (N,)."""

    pixels: Pixels
    labels: npt.NDArray[np.int64]

    def take(self, rows: Rows) -> "Labelled":
        return Labelled(self.pixels[rows], self.labels[rows])


def logits_of(network: nn.Module, cells: Labelled) -> Array:
    return predict_logits(network, torch.from_numpy(cells.pixels), torch.arange(len(cells.labels)), "fp32").numpy()


def measure(network: nn.Module, cells: Labelled) -> dict[str, float]:
    """Balanced accuracy at a probability of 0.5, accuracy, and ROC AUC."""
    logits = logits_of(network, cells)
    right = (logits > 0) == (cells.labels == 1)
    table = pd.DataFrame({"label": cells.labels, "probability": logits, "patient": ""})
    return {
        "balanced_accuracy": (right[cells.labels == 1].mean() + right[cells.labels == 0].mean()) / 2,
        "accuracy": right.mean(),
        "roc_auc": float(ranking_metrics(table).roc_auc.iloc[0]),
    }


def choose_cells(base: Base, pool: Labelled, n: int, seed: int) -> Rows:
    """The cells that `malaria.labelling` would choose, by the features before the last layer."""
    *body, head, _ = base.network[2]
    with torch.inference_mode():
        balanced = nn.Sequential(base.network[0], base.network[1], *body).eval()
        batch = torch.from_numpy(pool.pixels).permute(0, 3, 1, 2).float() / 255
        features = torch.cat([balanced(part) for part in batch.split(128)])
        certain = head(features).flatten().abs().numpy()
    return choose_actively(certain, features.numpy(), n, seed)


def fine_tuned(base: Base, cells: Labelled, replay: Replay | None, seed: int) -> tuple[nn.Module, float]:
    """The network that `adapt` would return, and the seconds it took."""
    began = time.perf_counter()
    frozen, _ = finetune.split_layers(base.network)
    new = finetune.make_features(frozen, cells.pixels, cells.labels, finetune.COPIES, seed)
    old = finetune.make_features(frozen, replay.pixels, replay.labels, finetune.REPLAYED, seed) if replay else None
    return TTA(finetune.fine_tune(base.network, new, old, seed)), time.perf_counter() - began


def run_seed(base: Base, cells: Labelled, home: Labelled, replay: Replay, seed: int) -> list[dict[str, object]]:
    """A row for each way to choose and number of labels."""
    order = np.random.default_rng(seed).permutation(len(cells.labels))
    pool, test = cells.take(order[::2]), cells.take(order[1::2])
    rows = [row_of("zero-shot", 0, seed, base.network, test, home)]
    for n in LABELS:
        for way in ("random", "active"):
            chosen = np.arange(n) if way == "random" else choose_cells(base, pool, n, seed)
            if n > len(pool.labels) or len(set(pool.labels[chosen])) < 2:
                continue
            network, seconds = fine_tuned(base, pool.take(chosen), replay, seed)
            rows.append(row_of(way, n, seed, network, test, home) | {"seconds": seconds})
    return rows


def row_of(way: str, n: int, seed: int, network: nn.Module, test: Labelled, home: Labelled) -> dict[str, object]:
    at_home = measure(network, home)
    return {
        "labels": n,
        "chosen": way,
        "seed": seed,
        **{name: value for name, value in measure(network, test).items() if name != "accuracy"},
        "nih_accuracy": at_home["accuracy"],
        "nih_roc_auc": at_home["roc_auc"],
    }


def read_home(size: int) -> tuple[Labelled, Labelled]:
    """NIH's test split: a sample of half of its patients, and of the others."""
    table = read_index(SPLIT)
    test = table[table.split == "test"]
    patients = np.random.default_rng(0).permutation(test.patient.unique())
    halves = [test[test.patient.isin(half)] for half in (patients[::2], patients[1::2])]
    samples = [half.sample(min(HOME_CELLS, len(half)), random_state=0) for half in halves]
    file = CellFile(CELLS)
    one, other = (
        Labelled(file[torch.tensor(part.index.to_numpy())].numpy(), part.label.to_numpy()) for part in samples
    )
    return one, other


def time_adapt(base: Base, cells: LabelledCells, replay: Replay) -> float:
    """Seconds of all of `malaria adapt` on 100 cells, cross-validation included, without imports and decoding."""
    chosen = np.random.default_rng(0).permutation(len(cells.index))[:100]
    some = LabelledCells(
        cells.index.iloc[chosen].reset_index(drop=True), cells.pixels[chosen], cells.hashes[chosen], []
    )
    began = time.perf_counter()
    adapt(base, some, replay, seed=0)
    return time.perf_counter() - began


def draw(table: pd.DataFrame) -> Figure:
    """Balanced accuracy and AUC by the number of labels: the median of the seeds, and their range."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    lab = table[table.cells == "another laboratory"]
    for axes, name in zip(figure.subplots(1, 2), ("balanced_accuracy", "roc_auc"), strict=True):
        for way, color in (("random", BLUE), ("active", ORANGE)):
            seeds = lab[lab.chosen == way].groupby("labels")[name]
            axes.plot(seeds.median().index, seeds.median(), color=color, marker="o", markersize=4, label=way)
            axes.fill_between(seeds.median().index, seeds.min(), seeds.max(), color=color, alpha=0.2, linewidth=0)
        axes.axhline(lab[lab.chosen == "zero-shot"][name].median(), color=GRAY, linestyle=":", label="no labels")
        axes.set(xscale="log", xlabel="labelled cells", title=name.replace("_", " ").replace("roc auc", "ROC AUC"))
        axes.set_xticks(LABELS, [str(n) for n in LABELS])
        axes.minorticks_off()
        axes.legend()
    return figure


def render(table: pd.DataFrame) -> str:
    """Medians over the seeds as Markdown."""
    names = ["balanced_accuracy", "roc_auc", "nih_accuracy", "nih_roc_auc", "seconds"]
    medians = table.groupby(["cells", "labels", "chosen"], sort=False)[names].median().reset_index()
    for name in ("balanced_accuracy", "nih_accuracy"):
        medians[name] = (100 * medians[name]).map("{:.1f}".format)
    for name in ("roc_auc", "nih_roc_auc"):
        medians[name] = medians[name].map("{:.3f}".format)
    medians["seconds"] = medians.seconds.map(lambda value: "" if pd.isna(value) else f"{value:.1f}")
    titles = {
        "balanced_accuracy": "balanced accuracy %",
        "roc_auc": "AUC",
        "nih_accuracy": "NIH accuracy %",
        "nih_roc_auc": "NIH AUC",
    }
    return to_markdown(medians.rename(columns=titles))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", metavar="CELLS")
    parser.add_argument("--zero-shot", nargs="*", default=[], metavar="MODEL", help="folders of other models")
    options = parser.parse_args()
    prepare(seed=0)
    base = read_base("models")
    replay = find_replay(CELLS, SPLIT, base, seed=0)
    assert replay, f"{CELLS} must hold the cells that models/ was trained on"
    with tempfile.TemporaryDirectory() as folder:
        cells = read_labelled(Path(options.cells), CLASSES, base.card.preprocess, Path(folder) / "cells.zip")
    lab = Labelled(cells.pixels, cells.index.label.to_numpy())
    pool, home = read_home(base.card.size)
    rows: list[dict[str, object]] = []
    for seed in range(SEEDS):
        for of, those in (("another laboratory", lab), ("NIH's test patients", pool)):
            rows += [{"cells": of} | row for row in run_seed(base, those, home, replay, seed)]
            print(pd.DataFrame(rows[-1:]).to_string(index=False, header=seed == 0), flush=True)
    for model in options.zero_shot:
        rows.append({"cells": model} | row_of("zero-shot", 0, 0, read_base(model).network, lab, home))
    table = pd.DataFrame(rows)
    write_bytes(PICTURE, to_png(draw(table)))
    write_down("adaptation", table, render)
    print(f"all of adapt on 100 cells, cross-validation included: {time_adapt(base, cells, replay):.1f} s")


if __name__ == "__main__":
    main()
