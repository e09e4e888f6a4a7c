"""Train the network and keep its best epoch: `python -m stages.train`.

Reads:    data/cells.npy and data/split.csv: the cells of train and val, never those of test.
Writes:   models/model.safetensors: the weights of the epoch with the lowest loss on val, and their recipe;
          metrics/train/metrics.json: dvclive's, of the last epoch, with which was best and on what hardware;
          metrics/train/plots/metrics: a table a curve.
Tuned by: train.* in params.yaml; preprocess.* goes into the recipe.
"""

from pathlib import Path

from malaria.params import load_params


def main() -> None:
    """The stage."""
    params = load_params()

    # These take seconds to import, and a mistake in the params should be told at once.
    import pandas as pd
    from dvclive import Live

    from malaria import compute
    from malaria.cells import load_cells
    from malaria.model_files import build_network, make_recipe, save_weights
    from malaria.models import count_weights
    from malaria.pretrained import load_pretrained
    from malaria.training import train_epochs

    device = compute.pick_device()
    precision = compute.pick_precision(params.train.precision, device)
    compute.make_deterministic(params.train.seed)
    recipe = make_recipe(params.train, params.preprocess, precision)
    pretrained = load_pretrained(params.train.arch, params.train.weights) if params.train.pretrained else None
    model = build_network(recipe, pretrained).to(device)
    cells = load_cells(Path("data/cells.npy"), pd.read_csv("data/split.csv"), device)
    hardware = compute.describe_device(device)
    print(f"{recipe.arch}: {count_weights(model):,} weights, {precision} on {hardware}")

    with Live("metrics/train", dvcyaml=False, save_dvc_exp=False) as live:
        losses = []
        for figures in train_epochs(model, cells, params.train, precision):
            for name, value in figures.items():
                live.log_metric(name, round(value, 5))
            live.next_step()
            losses.append(figures["val/loss"])
        live.summary.update(best_epoch=losses.index(min(losses)) + 1, hardware=hardware)
    save_weights(Path("models/model.safetensors"), model, recipe)


if __name__ == "__main__":
    main()
