"""Does training without doubted labels help? `uv run python bench/doubted.py DOUBTED.csv` writes docs/RESULTS.md.

Trains the default's first phase for a few epochs on train of params.yaml's fold, SEEDS times each: with the cells whose
labels were doubted (a CSV file with a column name), without them, and with each of them in half of the epochs, which
halves their weight. Evaluates on test, with all of NIH's labels and without the doubted cells of test.
"""

import argparse
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from bench.labels import read_doubted
from bench.results import to_markdown, write_down
from malaria.core.workers import count_cores, start_pool
from malaria.data.index import read_index
from malaria.evaluation.metrics import classification_metrics, ranking_metrics
from malaria.model import hardware
from malaria.model.dataset import load_cells
from malaria.model.inference import predict_logits
from malaria.model.trainer import Trainer
from malaria.model.weights import build_from_config, make_config
from malaria.params import load_params

SEEDS, EPOCHS = 3, 2
KEPT = {"kept": 1.0, "half the weight": 0.5, "left out": 0.0}  # the share of doubted cells in an epoch


class Sampling(Trainer):
    """A trainer that leaves out some of the doubted cells, others each epoch."""

    share = 1.0
    doubted: Tensor

    def shuffle(self) -> tuple[Tensor, ...]:
        rows = self.cells.rows["train"]
        order = rows[torch.randperm(len(rows), generator=self.random)]
        drawn = torch.rand(len(order), generator=self.random) < self.share
        return torch.split(order[drawn | ~self.doubted[order]], self.params.batch_size)


def run(task: tuple[str, int], doubted: pd.Series) -> list[dict[str, object]]:
    """The metrics of a way and seed: two rows."""
    way, seed = task
    torch.set_num_threads(1)
    hardware.prepare(seed)
    params, index = load_params(), read_index(Path("data/split.csv"))
    cells = load_cells(Path("data/cells.npy"), index, torch.device("cpu"), params.preprocess.size)
    train = params.train.model_copy(update={"seed": seed, "epochs": EPOCHS, "robust_epochs": 0})
    listed = index.name.isin(doubted.index).to_numpy()
    rows = index.split == "train"
    steps = int((rows & ~listed).sum() + KEPT[way] * (rows & listed).sum()) // train.batch_size - 1
    model = build_from_config(make_config(train, params.preprocess, "fp32"))
    trainer = Sampling(model, cells, train, "fp32", steps)
    trainer.share, trainer.doubted = KEPT[way], torch.tensor(listed)
    with tqdm(disable=True) as bar:
        for epoch in range(1, EPOCHS + 1):
            trainer.run_epoch(epoch, bar)
    model.load_state_dict(trainer.best)
    test = index.split == "test"
    probability = predict_logits(model, cells.pixels, cells.rows["test"], "fp32").sigmoid().numpy()
    table = index[test].assign(probability=probability)
    kinds = {"all cells": table, "without the doubted": table[~listed[test]]}
    return [{"trained with them": way, "seed": seed, "tested on": name} | measure(of) for name, of in kinds.items()]


def measure(cells: pd.DataFrame) -> dict[str, float]:
    rates = classification_metrics(cells, 0.5).iloc[0]
    auc = float(ranking_metrics(cells).roc_auc.iloc[0])
    return {**rates[["accuracy", "sensitivity", "specificity"]], "roc_auc": auc}


def render(table: pd.DataFrame) -> str:
    """Means over seeds, and their ranges."""
    rows = []
    for (way, on), seeds in table.groupby(["trained with them", "tested on"], sort=False):
        row = {"doubted cells of train": way, "tested on": on}
        for name in ("accuracy", "sensitivity", "specificity"):
            row[f"{name} %"] = show(100 * seeds[name], ".2f")
        rows.append(row | {"AUC": show(seeds.roc_auc, ".4f")})
    return to_markdown(pd.DataFrame(rows))


def show(values: pd.Series, digits: str) -> str:
    return f"{values.mean():{digits}} ({values.min():{digits}} to {values.max():{digits}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("doubted", type=Path, metavar="DOUBTED.csv")
    work = partial(run, doubted=read_doubted(parser.parse_args().doubted))
    tasks = [(way, seed) for seed, way in product(range(SEEDS), KEPT)]
    with start_pool(count_cores()) as pool:
        table = pd.DataFrame([row for rows in pool.map(work, tasks) for row in rows])
    order = table["trained with them"].map(list(KEPT).index)
    write_down("doubted", table.iloc[np.lexsort((table["tested on"], order))], render)


if __name__ == "__main__":
    main()
