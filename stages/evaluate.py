"""Predict the cells of val and test, and judge the predictions: `python -m stages.evaluate`.

Reads:    models/model.safetensors, data/cells.npy, data/split.csv.
Writes:   data/predictions.csv: name,patient,label,split,logit,probability; every figure comes from it;
          models/model.json: the recipe, the temperature and the threshold chosen on val, and the cost;
          metrics/evaluate/metrics.json: the figures of val, and of test with intervals over patients;
          of test, plots/confusion.csv, plots/roc.csv, plots/pr.csv, plots/reliability.csv and, without temperature,
          plots/reliability_uncalibrated.csv, plots/coverage.csv (what is right when the doubtful are left out),
          plots/prevalence.csv (predictive values), plots/operating_points.csv, plots/patients.csv and
          plots/suspects.csv (labels that the model doubts).
Tuned by: evaluate.* in params.yaml.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from malaria.params import load_params

if TYPE_CHECKING:
    import pandas as pd

PREDICTIONS = Path("data/predictions.csv")


def main() -> None:
    """The stage."""
    params = load_params().evaluate

    # These take seconds to import, and a mistake in the params should be told at once.
    import pandas as pd

    from malaria.evaluation import judge_splits
    from malaria.files import write_csv, write_json
    from malaria.model_card import ModelCard
    from malaria.operating_points import choose_threshold, choose_thresholds
    from malaria.tables import tabulate

    predictions, facts = predict(params.tta)
    write_csv(PREDICTIONS, predictions)
    predictions = pd.read_csv(PREDICTIONS)  # what is judged is what is written, to the last digit
    points = choose_thresholds(predictions[predictions.split == "val"])
    threshold = choose_threshold(points, params.threshold)
    card = ModelCard(**facts, tta=params.tta, operating_point=params.threshold, threshold=threshold)
    figures = judge_splits(predictions, threshold, params.doubt)

    write_json(Path("models/model.json"), card.model_dump())
    write_json(Path("metrics/evaluate/metrics.json"), figures)
    for name, table in tabulate(predictions, threshold, points, params.doubt).items():
        write_csv(Path(f"plots/{name}.csv"), table)
    print(describe(figures))


def predict(tta: bool) -> "tuple[pd.DataFrame, dict[str, Any]]":
    """The rows of predictions.csv, and what model.json says of the model that made them."""
    import pandas as pd
    import torch

    from malaria import compute
    from malaria.cells import load_cells
    from malaria.evaluation import tabulate_predictions
    from malaria.inference import predict_logits
    from malaria.model_card import count_macs
    from malaria.model_files import load_weights
    from malaria.models import count_weights
    from malaria.views import EightViews

    device = compute.pick_device()
    compute.prepare(seed=0)
    split = pd.read_csv("data/split.csv")
    cells = load_cells(Path("data/cells.npy"), split, device)
    model, recipe = load_weights(Path("models/model.safetensors"))
    cost = {"weights": count_weights(model), "macs": count_macs(model, recipe.size)}

    held_out = split[split.split != "train"]
    rows = torch.tensor(held_out.index.to_numpy(), device=device)
    judge = (EightViews(model) if tta else model).to(device)
    # In fp32 whatever the training was in, so that another processor gives the same figures.
    logits = predict_logits(judge, cells.pixels, rows, precision="fp32")
    predictions, temperature = tabulate_predictions(held_out, logits.numpy())
    return predictions, recipe.model_dump() | cost | {"temperature": round(temperature, 6)}


def describe(figures: "dict[str, dict[str, Any]]") -> str:
    """The figures as lines: those of test with their intervals, and those of val."""
    lines = [f"{'':<30}{'test':>10}{'95 % interval':>22}{'val':>10}"]
    for name, val in figures["val"].items():
        test, low, high = (figures["test"].get(name + end) for end in ("", "_low", "_high"))
        bounds = "" if low is None else f"[{low}, {high}]"
        lines.append(f"{name:<30}{test!s:>10}{bounds:>22}{val!s:>10}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
