"""Predict the cells of val and test, and judge the predictions: `python -m stages.evaluate`.

Reads:    models/model.safetensors, data/cells.npy, data/split.csv.
Writes:   data/predictions.csv: name,patient,label,split,logit,probability; every figure comes from it;
          models/model.json: the recipe, with the temperature fitted on val and the threshold;
          metrics/evaluate/metrics.json; of test, plots/confusion.csv, plots/roc.csv and plots/pr.csv.
Tuned by: evaluate.* in params.yaml.
"""

from pathlib import Path

from malaria.params import load_params


def main() -> None:
    """The stage."""
    params = load_params().evaluate

    # These take seconds to import, and a mistake in the params should be told at once.
    import pandas as pd
    import torch

    from malaria import compute
    from malaria.cells import load_cells
    from malaria.evaluation import judge_splits, tabulate_curves, tabulate_predictions
    from malaria.files import write_csv, write_json
    from malaria.inference import predict_logits
    from malaria.model_card import ModelCard
    from malaria.model_files import load_weights

    device = compute.pick_device()
    compute.make_deterministic(seed=0)
    split = pd.read_csv("data/split.csv")
    cells = load_cells(Path("data/cells.npy"), split, device)
    model, recipe = load_weights(Path("models/model.safetensors"))

    held_out = split[split.split != "train"]
    rows = torch.tensor(held_out.index.to_numpy(), device=device)
    # In fp32 whatever the training was in, so that another processor gives the same figures.
    logits = predict_logits(model.to(device), cells.pixels, rows, precision="fp32")
    predictions, temperature = tabulate_predictions(held_out, logits.numpy())
    card = ModelCard(**recipe.model_dump(), temperature=round(temperature, 6), threshold=params.threshold)
    figures = judge_splits(predictions, params.threshold)

    write_csv(Path("data/predictions.csv"), predictions)
    write_json(Path("models/model.json"), card.model_dump())
    write_json(Path("metrics/evaluate/metrics.json"), figures)
    for name, points in tabulate_curves(predictions, params.threshold).items():
        write_csv(Path(f"plots/{name}.csv"), points)
    print(pd.DataFrame(figures, dtype=object).to_string())


if __name__ == "__main__":
    main()
