"""How much sooner is the notebook's accuracy reached? `uv run python bench/time_to_accuracy.py [--workers N]`

Trains twice on the same 80 % of the cells in data/cells.zip, split by cell, and times each until it calls 93 % of the
others right: the notebook as its readers write it, ImageFolder over unpacked PNGs and transforms for each image; and
this pipeline, which decodes once and then trains, with FAST in params.yaml. Accuracy is looked at every quarter of an
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

from malaria.model import hardware as compute
from malaria.core.archive import cell_names
from malaria.core.workers import count_cores
from malaria.data.decode import decode_archive
from malaria.data.splits import assign_splits, describe_cells
from malaria.model.dataset import Cells, load_cells
from malaria.model.inference import predict_logits
from malaria.model.network import simple_cnn
from malaria.model.trainer import Trainer
from malaria.model.weights import build_from_config, make_config
from malaria.params import Train, load_params

GOAL = 0.93
MOST = 10  # epochs, of which neither should need so many
# as -S train.epochs=1 ...: one pass, without the changes that pay only in many
FAST = {"epochs": 1, "augment": "flips", "batch_size": 64}
CELLS = Path("data/cells.zip")

Course = Iterator[nn.Module]  # a model, after each step of its training


def time_to_goal(course: Course, every: int, accuracy: Callable[[nn.Module], float]) -> float:
    """Seconds of training until the goal is reached."""
    seconds, began = 0.0, time.perf_counter()
    for step, model in enumerate(course, 1):
        if step % every == 0:
            seconds += time.perf_counter() - began
            reached = accuracy(model)
            print(f"  {step:>6} steps  {seconds:7.1f} s  accuracy {reached:.4f}", flush=True)
            if reached >= GOAL:
                return seconds
            began = time.perf_counter()
    raise SystemExit(f"{GOAL:.0%} was not reached in {seconds:.0f} s")


def notebook(images: ImageFolder, rows: list[int], workers: int) -> Course:
    """Adam 1e-4, batches of 32, in fp32."""
    loader = DataLoader(Subset(images, rows), 32, shuffle=True, num_workers=workers)
    model = simple_cnn(64)
    optimizer = optim.Adam(model.parameters(), 1e-4)
    for _ in range(MOST):
        for batch, labels in loader:
            model.train()
            loss = nn.functional.binary_cross_entropy_with_logits(model(batch), labels.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield model


def pipeline(cells: Cells, params: Train) -> Course:
    """The steps of stages/train.py."""
    compute.prepare(params.seed)
    precision = compute.pick_precision(params.precision, cells.labels.device)
    model = build_from_config(make_config(params, load_params().preprocess, precision))
    steps = len(cells.rows["train"]) // params.batch_size
    trainer = Trainer(model, cells, params, precision, steps)
    for rows in trainer.shuffle()[:steps]:
        trainer.step(rows)
        yield model


@torch.inference_mode()
def judge_notebook(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> float:
    model.eval()
    hits = [((model(batch) > 0) == (labels > 0)).sum().item() for batch, labels in batches]
    return sum(hits) / sum(len(labels) for _, labels in batches)


def judge_pipeline(model: nn.Module, cells: Cells) -> float:
    rows = cells.rows["test"]
    logits = predict_logits(model, cells.pixels, rows, "fp32")
    return ((logits > 0) == (cells.labels[rows] > 0)).float().mean().item()


def time_notebook(folder: Path, split: pd.DataFrame, workers: int) -> float:
    """Unpacking is not counted: that is how its readers have the images."""
    with ZipFile(CELLS) as archive:
        archive.extractall(folder)
    square = transforms.Compose(
        [transforms.Resize((64, 64)), transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
    )
    images = ImageFolder(str(folder), square, target_transform=lambda index: 1 - index)  # Parasitized comes first there
    of = pd.Series(range(len(images)), [str(Path(path).relative_to(folder)) for path, _ in images.samples])
    rows = {part: of[names.name].tolist() for part, names in split.groupby("split")}
    batches = list(DataLoader(Subset(images, rows["test"]), 256, num_workers=2))
    course = notebook(images, rows["train"], workers)
    return time_to_goal(course, len(rows["train"]) // 32 // 4, lambda model: judge_notebook(model, batches))


def time_pipeline(array: Path, split: pd.DataFrame, seed: int) -> float:
    cells = load_cells(array, split, torch.device("cpu"))
    params = load_params().train.model_copy(update={**FAST, "seed": seed})
    steps = len(cells.rows["train"]) // params.batch_size
    return time_to_goal(pipeline(cells, params), steps // 4, lambda model: judge_pipeline(model, cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="of the notebook's DataLoader (2)")
    parser.add_argument("--seeds", type=int, default=5, help="of this pipeline's training (5)")
    options = parser.parse_args()
    torch.set_num_threads(count_cores())
    torch.manual_seed(0)
    split = describe_cells(cell_names(CELLS))
    split["split"] = assign_splits(split, "cell", folds=5, fold=0, val=0.125, seed=42).replace("val", "train")

    with tempfile.TemporaryDirectory() as scratch:
        array = Path(scratch) / "cells.npy"
        began = time.perf_counter()
        for _ in decode_archive(CELLS, split.name.tolist(), array, 64, "stretch", count_cores()):
            pass
        decoding = time.perf_counter() - began
        print("this pipeline")
        warm = float(np.mean([time_pipeline(array, split, seed) for seed in range(options.seeds)]))
        print("the notebook")
        its = time_notebook(Path(scratch) / "cells", split, options.workers)
    print(
        f"the notebook, {options.workers} workers: {its:.1f} s; here: {decoding:.1f} s to decode, {warm:.1f} s to train"
    )
    print(f"ratio_cold: {its / (decoding + warm):.1f}\nratio_warm: {its / warm:.1f}")


if __name__ == "__main__":
    main()
