"""What does a training step consist of? `uv run python bench/step.py`

Times steps of the training that params.yaml asks for, on data/cells.npy, and by turns what comes before the model in
each: reading the cells and augmenting them. Prints the milliseconds, for each policy too, and the share of a step
that the input takes.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pandas as pd
import torch

from malaria.model import hardware as compute
from malaria.model.augment import AUGMENTATIONS, augment
from malaria.model.dataset import load_cells, to_floats
from malaria.model.trainer import Trainer
from malaria.model.weights import build_from_config, make_config
from malaria.params import load_params

TURNS = 60


def milliseconds(*works: Callable[[], object]) -> list[float]:
    """The median of each, taken by turns."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(TURNS):
        for work, taken in zip(works, times, strict=True):
            began = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            taken.append(1e3 * (time.perf_counter() - began))
    return [median(taken[TURNS // 10 :]) for taken in times]


def main() -> None:
    params, device = load_params(), compute.pick_device()
    compute.prepare(params.train.seed)
    precision = compute.pick_precision(params.train.precision, device)
    cells = load_cells(Path("data/cells.npy"), pd.read_csv("data/split.csv"), device)
    model = build_from_config(make_config(params.train, params.preprocess, precision)).to(device)
    trainer = Trainer(model, cells, params.train, precision, 2 * TURNS)
    rows = trainer.shuffle()[0]

    def prepare(policy: str) -> None:
        augment(cells.pixels[rows], cells.labels[rows], policy, trainer.random)

    def read() -> None:
        to_floats(cells.pixels[rows])

    step, its_input, reading = milliseconds(lambda: trainer.step(rows), lambda: prepare(params.train.augment), read)
    print(f"{params.train.arch}, {params.train.batch_size} cells, {precision} on {compute.describe_device(device)}")
    print(f"step {step:.1f} ms, its input {its_input:.1f} ms, of which reading {reading:.1f} ms")
    print(f"share of the input: {its_input / step:.3f}")
    taken = milliseconds(*[lambda policy=policy: prepare(policy) for policy in AUGMENTATIONS])  # type: ignore[misc]
    for policy, each in zip(AUGMENTATIONS, taken, strict=True):
        print(f"input with {policy:<12}{each:6.1f} ms")


if __name__ == "__main__":
    main()
