"""Train the network and keep its best epoch: `python -m stages.train`.

Reads:    data/cells.npy and data/split.csv: the cells of train and val, never those of test.
Writes:   models/model.safetensors: the weights of the epoch with the lowest loss on val, and their recipe;
          metrics/train/metrics.json: dvclive's, of the last epoch, with which was best and on what hardware;
          metrics/train/plots/metrics: a table a curve;
          after each epoch data/checkpoint.safetensors, from which a training that was broken off goes on, until it is
          done.
Tuned by: train.* in params.yaml; preprocess.* goes into the recipe.

With train.devices above 1 it starts that many of itself. On several machines, on each of them:
`torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 -m stages.train`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from malaria.params import Params, load_params
from malaria.stage import run

if TYPE_CHECKING:
    import torch

    from malaria.model_files import Recipe

CHECKPOINT = Path("data/checkpoint.safetensors")


def main() -> None:
    """The stage."""
    params = load_params()

    # This takes seconds to import, and a mistake in the params should be told at once.
    from malaria import compute, parallel

    if params.train.devices > 1 and not parallel.launched():
        parallel.launch("stages.train", params.train.devices)
    else:
        with parallel.process_group(device := compute.pick_device()):
            train(params, device)


def train(params: Params, device: "torch.device") -> None:
    """Train and write; of several processes the first one writes."""
    from malaria import compute, parallel
    from malaria.cells import load_cells
    from malaria.checkpoint import Checkpoint
    from malaria.model_files import build_network, make_recipe, save_weights
    from malaria.models import count_weights
    from malaria.outs import SPLIT_COLUMNS, read_table
    from malaria.pretrained import load_pretrained
    from malaria.training import train_epochs

    precision = compute.pick_precision(params.train.precision, device)
    compute.prepare(params.train.seed)
    recipe = make_recipe(params.train, params.preprocess, precision)
    pretrained = load_pretrained(params.train.arch, params.train.weights) if params.train.pretrained else None
    model = build_network(recipe, pretrained).to(device)
    cells = load_cells(Path("data/cells.npy"), read_table(Path("data/split.csv"), SPLIT_COLUMNS), device, recipe.size)
    shared = f", {parallel.world_size()} processes" if parallel.world_size() > 1 else ""
    hardware = compute.describe_device(device) + shared
    checkpoint = Checkpoint(CHECKPOINT, find_key(params, recipe, hardware))
    epochs = train_epochs(model, cells, params.train, precision, checkpoint)
    if parallel.rank() > 0:
        for _ in epochs:
            pass
    else:
        print(f"{recipe.arch}: {count_weights(model):,} weights, {precision} on {hardware}")
        record(epochs, hardware)
        save_weights(Path("models/model.safetensors"), model, recipe)
    checkpoint.remove()


def find_key(params: Params, recipe: "Recipe", hardware: str) -> str:
    """What has to be the same for a training to go on: all that DVC takes it to depend on, and the machine."""
    from malaria.checkpoint import make_key

    files = [Path(name) for name in YAML(typ="safe", pure=True).load(Path("dvc.yaml"))["stages"]["train"]["deps"]]
    if params.train.weights:
        files.append(Path(params.train.weights))
    return make_key([params.train.model_dump(), recipe.model_dump(), hardware], files)


def record(epochs: Iterable[dict[str, float]], hardware: str) -> None:
    """Have dvclive write the figures of each epoch, as they come."""
    from dvclive import Live

    with Live("metrics/train", dvcyaml=False, save_dvc_exp=False) as live:
        losses = []
        for figures in epochs:
            for name, value in figures.items():
                live.log_metric(name, round(value, 5))
            live.next_step()
            losses.append(figures["val/loss"])
        live.summary.update(best_epoch=losses.index(min(losses)) + 1, hardware=hardware)


if __name__ == "__main__":
    run(main, lower="train.batch_size or preprocess.size, or take another train.arch")
