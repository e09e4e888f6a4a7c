"""How much sooner is the notebook's accuracy reached? `uv run python bench/time_to_accuracy.py [--workers N]`

Trains twice on the same 80 % of the cells in data/cells.zip, split by cell, and times each until its accuracy on the
others is 93 %: the notebook as its readers write it, ImageFolder over unpacked PNGs and transforms for each image; and
this pipeline, which decodes once and then trains, with FAST in params.yaml. Accuracy is measured every quarter of an
epoch, off the clock. Prints the seconds, and how many times as long the notebook takes as the first run here, which
pays for the decoding (ratio_cold), and as every later one (ratio_warm); ours are the mean over seeds.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from bench.stage_costs import measure
from malaria.architectures import simple_cnn
from malaria.core.workers import count_cores
from malaria.data.index import read_index
from malaria.data.splits import assign_splits
from malaria.model import hardware
from malaria.model.dataset import Cells, load_cells
from malaria.model.inference import predict_logits
from malaria.model.trainer import Trainer
from malaria.model.weights import build_from_config, make_config
from malaria.params import Params, load_params

MOST = 10  # epochs, of which neither should need so many
# as -S train.epochs=1 ...: one pass, without the changes that pay only in many
FAST = {"epochs": 1, "robust_epochs": 0, "augment": "flips", "batch_size": 64}

Course = Iterator[nn.Module]  # a model, after each step of its training


def time_to_goal(course: Course, epoch: int, accuracy: Callable[[nn.Module], float], goal: float) -> float:
    """Seconds of training, `epoch` steps an epoch, until the goal is reached."""
    seconds, began = 0.0, time.perf_counter()
    for step, model in enumerate(course, 1):
        if step % max(1, epoch // 4) == 0:
            seconds += time.perf_counter() - began
            reached = accuracy(model)
            print(f"  {step:>6} steps  {seconds:7.1f} s  accuracy {reached:.4f}", flush=True)
            if reached >= goal:
                return seconds
            began = time.perf_counter()
    raise SystemExit(f"{goal:.0%} was not reached in {seconds:.0f} s")


def train_notebook(images: ImageFolder, rows: list[int], workers: int) -> Course:
    """Adam 1e-4, batches of 32, in fp32."""
    loader = DataLoader(Subset(images, rows), 32, shuffle=True, num_workers=workers)
    model = simple_cnn.build(64)
    optimizer = optim.Adam(model.parameters(), 1e-4)
    for _ in range(MOST):
        for batch, labels in loader:
            model.train()
            loss = nn.functional.binary_cross_entropy_with_logits(model(batch), labels.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield model


def train_pipeline(cells: Cells, params: Params, steps: int) -> Course:
    """The steps of stages/train.py."""
    hardware.prepare(params.train.seed)
    precision = hardware.pick_precision(params.train.precision, cells.labels.device)
    model = build_from_config(make_config(params.train, params.preprocess, precision))
    trainer = Trainer(model, cells, params.train, precision, steps)
    trainer.begin_epoch(frozen=False)
    for rows in trainer.shuffle()[:steps]:
        trainer.step(rows)
        yield model


@torch.inference_mode()
def evaluate_notebook(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> float:
    model.eval()
    hits = [((model(batch) > 0) == (labels > 0)).sum().item() for batch, labels in batches]
    return sum(hits) / sum(len(labels) for _, labels in batches)


def evaluate_pipeline(model: nn.Module, cells: Cells) -> float:
    rows = cells.rows["test"]
    logits = predict_logits(model, cells.pixels, rows, "fp32")
    return ((logits > 0) == (cells.labels[rows] > 0)).float().mean().item()


def time_notebook(split: pd.DataFrame, workers: int, goal: float) -> float:
    """Unpacking is not counted: that is how its readers have the images."""
    square = transforms.Compose(
        [transforms.Resize((64, 64)), transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
    )
    with tempfile.TemporaryDirectory() as folder:
        with ZipFile("data/cells.zip") as archive:
            archive.extractall(folder)
        images = ImageFolder(folder, square, target_transform=lambda index: 1 - index)  # Parasitized is 0 there
        place = pd.Series(range(len(images)), [str(Path(path).relative_to(folder)) for path, _ in images.samples])
        rows = {part: place[cells.name].tolist() for part, cells in split.groupby("split")}
        batches = list(DataLoader(Subset(images, rows["test"]), 256, num_workers=2))
        course = train_notebook(images, rows["train"], workers)
        return time_to_goal(course, len(rows["train"]) // 32, lambda model: evaluate_notebook(model, batches), goal)


def time_pipeline(split: pd.DataFrame, params: Params, seed: int, goal: float) -> float:
    cells = load_cells(Path("data/cells.npy"), split, torch.device("cpu"), params.preprocess.size)
    params = params.model_copy(update={"train": params.train.model_copy(update={**FAST, "seed": seed})})
    steps = len(cells.rows["train"]) // params.train.batch_size
    course = train_pipeline(cells, params, steps)
    return time_to_goal(course, steps, lambda model: evaluate_pipeline(model, cells), goal)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="of the notebook's DataLoader (2)")
    parser.add_argument("--seeds", type=int, default=5, help="of this pipeline's training (5)")
    parser.add_argument("--goal", type=float, default=0.93, help="accuracy to reach (0.93)")
    options = parser.parse_args()
    torch.set_num_threads(count_cores())
    torch.manual_seed(0)
    params, split = load_params(), read_index(Path("data/cells.csv"))
    by_cell = params.split.model_copy(update={"by": "cell", "fold": 0})
    split["split"] = assign_splits(split, by_cell).replace("val", "train")

    print("this pipeline")
    decoding, _ = measure("preprocess")
    warm = float(np.mean([time_pipeline(split, params, seed, options.goal) for seed in range(options.seeds)]))
    print("the notebook")
    its = time_notebook(split, options.workers, options.goal)
    print(
        f"the notebook, {options.workers} workers: {its:.1f} s; here: {decoding:.1f} s to decode, {warm:.1f} s to train"
    )
    print(f"ratio_cold: {its / (decoding + warm):.1f}\nratio_warm: {its / warm:.1f}")


if __name__ == "__main__":
    main()
