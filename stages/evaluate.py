"""Predict the cells of val and test, and judge the predictions: `python -m stages.evaluate`.

Reads:    models/model.safetensors, data/cells.npy, data/split.csv.
Writes:   data/predictions.csv: name,patient,label,split,logit,probability,unlikeness;
          every figure comes from it;
          models/model.json: the recipe, what was chosen on val (temperature, thresholds, when to doubt), the cost;
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
from malaria.stage import run

if TYPE_CHECKING:
    import pandas as pd

    from malaria.trained import Trained

PREDICTIONS = Path("data/predictions.csv")
WEIGHTS = Path("models/model.safetensors")


def main() -> None:
    """The stage."""
    params = load_params().evaluate

    # These take seconds to import, and a mistake in the params should be told at once.
    import pandas as pd

    from malaria.compute import prepare
    from malaria.evaluation import judge_splits, judge_warnings
    from malaria.files import write_csv, write_json
    from malaria.model_card import ModelCard
    from malaria.operating_points import choose_limit, choose_margin, choose_threshold, choose_thresholds
    from malaria.tables import tabulate
    from malaria.trained import load_trained

    prepare(seed=0)
    predictions, facts = predict(load_trained(WEIGHTS, Path("data/cells.npy"), Path("data/split.csv")), params.tta)
    write_csv(PREDICTIONS, predictions)
    predictions = pd.read_csv(PREDICTIONS)  # what is judged is what is written, to the last digit
    val = predictions[predictions.split == "val"]
    points = choose_thresholds(val)
    threshold = choose_threshold(points, params.threshold)
    margin, limit = choose_margin(val, threshold, params.abstain), choose_limit(val, params.unlike)
    card = ModelCard(
        **facts,
        tta=params.tta,
        operating_point=params.threshold,
        threshold=threshold,
        operating_points=points,
        doubt_margin=margin,
        unlike_above=limit,
    )
    figures = judge_splits(predictions, threshold, params.doubt)
    for split, part in figures.items():
        part |= judge_warnings(predictions[predictions.split == split], threshold, margin, limit)

    write_json(Path("models/model.json"), card.model_dump())
    write_json(Path("metrics/evaluate/metrics.json"), figures)
    for name, table in tabulate(predictions, threshold, points, params.doubt).items():
        write_csv(Path(f"plots/{name}.csv"), table)
    print(describe(figures))


def predict(trained: "Trained", tta: bool) -> "tuple[pd.DataFrame, dict[str, Any]]":
    """The rows of predictions.csv, and what model.json says of the network that made them."""
    from malaria.cells import to_floats
    from malaria.evaluation import pick_parasitized, tabulate_predictions
    from malaria.grad_cam import find_peak
    from malaria.inference import predict_logits
    from malaria.model_card import count_macs
    from malaria.models import count_weights
    from malaria.traits import compare_with_training
    from malaria.views import EightViews

    network, recipe, split, cells = trained.network, trained.recipe, trained.split, trained.cells
    held_out = split[split.split != "train"]
    rows = trained.rows(held_out)
    # In fp32 whatever the training was in, so that another processor gives the same figures.
    logits = predict_logits(EightViews(network) if tta else network, cells.pixels, rows, precision="fp32")
    usual, unlikeness = compare_with_training(cells, rows)
    predictions, temperature = tabulate_predictions(held_out, logits.numpy(), unlikeness.numpy())
    typical = pick_parasitized(predictions, "val")
    peak = find_peak(network, to_floats(cells.pixels[trained.rows(typical)]))
    facts = {"temperature": round(temperature, 6), "usual": usual, "evidence_peak": float(f"{peak:.6g}")}
    cost = {"weights": count_weights(network), "macs": count_macs(network, recipe.size)}
    return predictions, recipe.model_dump() | cost | facts


def describe(figures: "dict[str, dict[str, Any]]") -> str:
    """The figures as lines: those of test with their intervals, and those of val."""
    lines = [f"{'':<30}{'test':>10}{'95 % interval':>22}{'val':>10}"]
    for name, val in figures["val"].items():
        test, low, high = (figures["test"].get(name + end) for end in ("", "_low", "_high"))
        bounds = "" if low is None else f"[{low}, {high}]"
        lines.append(f"{name:<30}{test!s:>10}{bounds:>22}{val!s:>10}")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
