"""From logits to data/predictions.csv, and from that table to every figure and curve."""

from typing import Any

import pandas as pd

from malaria.metrics import Array, fit_temperature, judge, pr_points, roc_points, sigmoid
from malaria.names import CLASSES

DIGITS = 5  # of figures in Git: a percentage with one decimal comes out as it would of the exact figure


def tabulate_predictions(cells: pd.DataFrame, logits: Array) -> tuple[pd.DataFrame, float]:
    """The rows of predictions.csv for some rows of split.csv, val's among them, and the temperature fitted on val.

    The columns are name, patient, label, split, logit (as the network gave it) and probability (calibrated).
    """
    table = cells[["name", "patient", "label", "split"]].assign(logit=logits)
    val = table[table.split == "val"]
    temperature = fit_temperature(val.label.to_numpy(), val.logit.to_numpy())
    return table.assign(probability=sigmoid(table.logit.to_numpy() / temperature)), temperature


def judge_splits(predictions: pd.DataFrame, threshold: float) -> dict[str, Any]:
    """The figures of val and of test, rounded; an undefined one is None."""
    figures = {}
    for name, part in predictions[predictions.split.isin(["val", "test"])].groupby("split"):
        judged = judge(part.label.to_numpy(), part.probability.to_numpy(), threshold)
        figures[str(name)] = {key: value if value is None else round(value, DIGITS) for key, value in judged.items()}
    return figures


def tabulate_curves(predictions: pd.DataFrame, threshold: float) -> dict[str, pd.DataFrame]:
    """The tables behind the plots of test: confusion (a row a cell), roc and pr."""
    test = predictions[predictions.split == "test"]
    words = pd.Series(CLASSES)
    predicted = (test.probability >= threshold).astype(int)
    confusion = pd.DataFrame({"actual": test.label.map(words), "predicted": predicted.map(words)})
    labels, probabilities = test.label.to_numpy(), test.probability.to_numpy()
    return {
        "confusion": confusion,
        "roc": roc_points(labels, probabilities).round(DIGITS),
        "pr": pr_points(labels, probabilities).round(DIGITS),
    }
