"""What does a training step consist of? `uv run python bench/step.py`

Times steps of the training that params.yaml asks for, on data/cells.npy, and by turns what comes before the model in
each: reading the cells and augmenting them. Prints the milliseconds, for each policy too, and the share of a step
that the input takes.
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import median

import torch

from bench.timing import Work, by_turns
from malaria.data.index import read_index
from malaria.model import hardware
from malaria.model.augment import AUGMENTATIONS, augment
from malaria.model.dataset import load_cells, to_floats
from malaria.model.trainer import Trainer
from malaria.model.weights import build_from_config, make_config
from malaria.params import Augment, load_params

TURNS = 60


def milliseconds(works: Mapping[str, Work]) -> dict[str, float]:
    """The median of each, taken by turns; the first tenth is warm-up."""
    times = by_turns({name: finished(work) for name, work in works.items()}, TURNS)
    return {name: 1000 * median(taken[TURNS // 10 :]) for name, taken in times.items()}


def finished(work: Work) -> Work:
    """The work until the GPU, if there is one, is done with it."""

    def run() -> None:
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return run


def main() -> None:
    params, device = load_params(), hardware.pick_device()
    hardware.prepare(params.train.seed)
    precision = hardware.pick_precision(params.train.precision, device)
    config = make_config(params.train, params.preprocess, precision)
    cells = load_cells(Path("data/cells.npy"), read_index(Path("data/split.csv")), device, config.size)
    trainer = Trainer(build_from_config(config).to(device), cells, params.train, precision, 2 * TURNS)
    trainer.begin_epoch(frozen=False)
    rows = trainer.shuffle()[0]

    def prepare(policy: Augment) -> Work:
        return lambda: augment(cells.pixels[rows], cells.labels[rows], policy, trainer.random)

    parts: dict[str, Work] = {
        "step": lambda: trainer.step(rows),
        "input": prepare(params.train.augment),
        "reading": lambda: to_floats(cells.pixels[rows]),
    }
    times = milliseconds(parts)
    print(f"{config.arch}, {params.train.batch_size} cells, {precision} on {hardware.describe_device(device)}")
    print(f"step {times['step']:.1f} ms, its input {times['input']:.1f} ms, of which reading {times['reading']:.1f} ms")
    print(f"share of the input: {times['input'] / times['step']:.3f}")
    for policy, each in milliseconds({policy: prepare(policy) for policy in AUGMENTATIONS}).items():
        print(f"input with {policy:<12}{each:6.1f} ms")


if __name__ == "__main__":
    main()
