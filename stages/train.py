"""Train the network and keep its best epoch: `python -m stages train`, or under torchrun (docs/EXPERIMENTS.md).

Reads:    data/cells.npy, data/split.csv: the cells of train and val, never those of test; what train.init names
Writes:   models/model.safetensors: the weights of the epoch with the lowest loss on val, their config, and
          hashes of the cells of train and val;
          plots/training: dvclive's history of each metric by epoch;
          after each epoch data/checkpoint.safetensors, from which an interrupted training resumes, until it is complete
Params:   train, and preprocess for the config
"""

from collections.abc import Iterable
from functools import reduce
from pathlib import Path

import torch
from dvclive import Live
from ruamel.yaml import YAML

from malaria.data.index import read_index
from malaria.model import hardware, parallel
from malaria.model.checkpoint import Checkpoint, make_key
from malaria.model.dataset import hash_cells, load_cells
from malaria.model.initial import build_initial, hash_initial
from malaria.model.network import count_parameters
from malaria.model.trainer import Metrics, train_epochs
from malaria.model.weights import ModelConfig, make_config, save_model
from malaria.params import Params


def main(params: Params) -> None:
    """Run the stage."""
    with parallel.process_group(device := hardware.pick_device()):
        train(params, device)


def train(params: Params, device: torch.device) -> None:
    """Train and write; of several processes the first one writes."""
    precision = hardware.pick_precision(params.train.precision, device)
    hardware.prepare(params.train.seed + parallel.rank())  # the first process's weights are given to all
    config = make_config(params.train, params.preprocess, precision, hash_initial(params.train.init))
    model = build_initial(config, params.train).to(device)
    cells = load_cells(Path("data/cells.npy"), read_index(Path("data/split.csv")), device, config.size)
    machine = f"{hardware.describe_device(device)}, processes: {parallel.world_size()}"
    checkpoint = Checkpoint(Path("data/checkpoint.safetensors"), checkpoint_key(params, config, machine))
    epochs = train_epochs(model, cells, params.train, precision, checkpoint)
    if parallel.rank() > 0:
        for _ in epochs:
            pass
    else:
        print(f"{config.arch}: {count_parameters(model):,} parameters, {precision} on {machine}")
        record(epochs)
        save_model(Path("models/model.safetensors"), model, config, hash_cells(cells, ["train", "val"]))
    checkpoint.remove()


def checkpoint_key(params: Params, config: ModelConfig, machine: str) -> str:
    """A hash of what has to be the same for a training to resume: all that DVC tracks of the stage, and the machine."""
    deps = YAML(typ="safe", pure=True).load(Path("dvc.yaml"))["stages"]["train"]["deps"]
    values = {"${train.arch}": params.train.arch, "${train.init}": params.train.init}
    paths = [Path(reduce(lambda text, key: text.replace(key, values[key]), values, dep)) for dep in deps]
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    files = [file for file in files if file.is_file() and "__pycache__" not in file.parts]
    return make_key([params.train.model_dump(), config.model_dump(), machine], files)


def record(epochs: Iterable[Metrics]) -> None:
    """Log the metrics of each epoch with dvclive, as they come."""
    with Live("plots/training", dvcyaml=False, save_dvc_exp=False) as live:
        for epoch, metrics in enumerate(epochs, 1):
            live.step = epoch
            for name, value in metrics.items():
                live.log_metric(name, round(value, 5))
    Path(live.metrics_file).unlink()  # of the last epoch, which need not be the one that is kept
