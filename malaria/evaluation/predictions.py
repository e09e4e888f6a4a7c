"""data/predictions.csv, and the metrics that follow from it."""

import numpy as np
import pandas as pd

from malaria.core.errors import UserError
from malaria.data.disputed_labels import Corrections, correct_labels
from malaria.evaluation.bootstrap import interval, resample
from malaria.evaluation.calibration import certainty, sigmoid
from malaria.evaluation.metrics import (
    Array,
    calibration_metrics,
    classification_metrics,
    compute_metrics,
    confusion_counts,
)
from malaria.evaluation.thresholds import fit_temperature

DIGITS = 5  # of metrics and tables in Git
WITHOUT_DOUBTED = ["without_doubted", "without_doubted_low", "without_doubted_high"]  # of plots/metrics.csv
CORRECTED = ["corrected", "corrected_low", "corrected_high"]  # of plots/metrics.csv
HEADLINE = ("sensitivity", "specificity", "roc_auc", "mcc", "ece")  # of metrics.json, after accuracy and its interval

Values = dict[str, float]  # by metric


def tabulate_predictions(cells: pd.DataFrame, logits: Array, ood_scores: Array) -> tuple[pd.DataFrame, float]:
    """The rows of predictions.csv for some rows of split.csv, val's among them, and the temperature fitted on val.

    The columns are name, patient, label, split, logit (of the network), probability (calibrated) and ood_score.

    Raises:
        UserError: a logit is NaN or infinite.
    """
    table = cells[["name", "patient", "label", "split"]].assign(logit=logits)
    if not (finite := np.isfinite(logits)).all():
        raise UserError(
            f"{(~finite).sum()} of {len(table)} logits are NaN or infinite, the first is that of "
            f"{table.name[~finite].iloc[0]}: train again, with a lower train.lr if it happens again"
        )
    val = table[table.split == "val"]
    temperature = fit_temperature(val.label.to_numpy(), val.logit.to_numpy())
    probability = sigmoid(table.logit.to_numpy() / temperature)
    return table.assign(probability=probability, ood_score=ood_scores), temperature


def evaluate_splits(
    predictions: pd.DataFrame,
    threshold: float,
    margin: float,
    ood_limit: float,
    label_error: float,
    doubted: set[str] | None = None,
    corrections: Corrections | None = None,
) -> pd.DataFrame:
    """plots/metrics.csv: all metrics of test and val; of test without `doubted` cells, and with corrected labels.

    The columns are metric, test, low and high (the 95 % interval over patients), val, and WITHOUT_DOUBTED and
    CORRECTED: each the metric and its interval. NaN where one is undefined, and where `doubted` or `corrections` is
    None.
    """
    val, test = (predictions[predictions.split == name] for name in ("val", "test"))
    limits = threshold, margin, ood_limit, label_error
    table = evaluate_with_intervals(test, *limits).rename(columns={"value": "test"})
    table["val"] = list(evaluate_cells(val, *limits).values())
    rest = None if doubted is None else test[~test.name.isin(doubted)]
    corrected = None if corrections is None else correct_labels(test, corrections)
    for columns, cells in ((WITHOUT_DOUBTED, rest), (CORRECTED, corrected)):
        values = np.nan if cells is None else evaluate_with_intervals(cells, *limits).drop(columns="metric").to_numpy()
        table[columns] = values
    return table.round(DIGITS)


def evaluate_with_intervals(
    cells: pd.DataFrame, threshold: float, margin: float, ood_limit: float, label_error: float
) -> pd.DataFrame:
    """All metrics of some rows of predictions.csv, a row each.

    The columns are metric, value, low and high (the 95 % interval over patients); NaN where one is undefined.
    """
    values = evaluate_cells(cells, threshold, margin, ood_limit, label_error)
    resampled = resample(cells, lambda weights: compute_metrics(cells, threshold, weights))
    bounds = {name: interval(resampled[name]) if name in resampled else (np.nan, np.nan) for name in values}
    rows = [(name, value, *bounds[name]) for name, value in values.items()]
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high"]).round(DIGITS)


def evaluate_cells(
    cells: pd.DataFrame, threshold: float, margin: float, ood_limit: float, label_error: float
) -> Values:
    """All metrics of some rows of predictions.csv by name."""
    return {
        **compute_metrics(cells, threshold).iloc[0],
        **calibration_metrics(uncalibrate(cells)).iloc[0].add_suffix("_uncalibrated"),
        **confusion_counts(cells, threshold),
        **_metrics_without_warnings(cells, threshold, margin, ood_limit),
        **_metrics_without_label_errors(cells, threshold, label_error),
    }


def headline(metrics: pd.DataFrame) -> dict[str, float | None]:
    """metrics/metrics.json: accuracy of test with its interval, and the HEADLINE metrics; None where undefined."""
    table = metrics.set_index("metric")
    accuracy = table.loc["accuracy"]
    values = {"accuracy": accuracy.test, "accuracy_low": accuracy.low, "accuracy_high": accuracy.high}
    values |= {name: table.test[name] for name in HEADLINE}
    return {name: None if pd.isna(value) else float(value) for name, value in values.items()}


def find_mistakes(predictions: pd.DataFrame, threshold: float) -> dict[str, pd.DataFrame]:
    """The misclassified cells of test by kind, the most confident first."""
    test = predictions[predictions.split == "test"].sort_values(["probability", "name"])
    positive = test.probability >= threshold
    return {
        "False negatives": test[~positive & (test.label == 1)],
        "False positives": test[positive & (test.label == 0)][::-1],
    }


def find_label_errors(cells: pd.DataFrame, below: float) -> pd.DataFrame:
    """Suspected label errors: cells to whose label the model gives a probability below `below`, the least likely first.

    The columns are name, patient, label and probability.
    """
    of_label = cells.probability.where(cells.label == 1, 1 - cells.probability)
    against = cells.logit.where(cells.label == 0, -cells.logit)  # unlike probabilities, not rounded to 0 or 1
    found = cells.assign(against=against)[of_label < below]
    return found.sort_values(["against", "name"], ascending=[False, True])[["name", "patient", "label", "probability"]]


def uncalibrate(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells with the probabilities of the network before temperature scaling."""
    return cells.assign(probability=sigmoid(cells.logit.to_numpy()))


def _metrics_without_warnings(cells: pd.DataFrame, threshold: float, margin: float, ood_limit: float) -> Values:
    """The shares of uncertain predictions and of OOD cells, and the accuracy on the rest."""
    uncertain = certainty(cells.probability.to_numpy(), threshold) < margin
    ood = cells.ood_score > ood_limit
    rest = classification_metrics(cells[~uncertain & ~ood], threshold)
    return {
        "uncertain_rate": uncertain.mean(),
        "ood_rate": ood.mean(),
        "accuracy_without_warnings": rest.accuracy.iloc[0],
    }


def _metrics_without_label_errors(cells: pd.DataFrame, threshold: float, below: float) -> Values:
    """The number of suspected label errors, and the accuracy on the rest: optimistic, since they are mistakes."""
    errors = find_label_errors(cells, below)
    rest = classification_metrics(cells.drop(errors.index), threshold)
    return {"label_errors": len(errors), "accuracy_without_label_errors": rest.accuracy.iloc[0]}
