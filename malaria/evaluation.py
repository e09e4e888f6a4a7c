"""From logits to data/predictions.csv, and from that table to the figures of metrics/evaluate/metrics.json."""

from typing import Any

import numpy as np
import pandas as pd

from malaria.bootstrap import resample, with_intervals
from malaria.calibration import certainty, fit_temperature, sigmoid
from malaria.errors import UserError
from malaria.metrics import Array, count_calls, judge, judge_calibration, judge_calls

DIGITS = 5  # of figures in Git: a percentage with one decimal comes out as it would of the exact figure
TYPICAL = 200  # cells to measure Grad-CAM on

Figures = dict[str, float | int | None]


def tabulate_predictions(cells: pd.DataFrame, logits: Array, unlikeness: Array) -> tuple[pd.DataFrame, float]:
    """The rows of predictions.csv for some rows of split.csv, val's among them, and the temperature fitted on val.

    The columns are name, patient, label, split, logit (as the network gave it), probability (calibrated) and
    unlikeness (how far from the training cells, malaria/traits.py).

    Raises:
        UserError: a logit is infinite or no number.
    """
    table = cells[["name", "patient", "label", "split"]].assign(logit=logits)
    _check_finite(table)
    val = table[table.split == "val"]
    temperature = fit_temperature(val.label.to_numpy(), val.logit.to_numpy())
    probability = sigmoid(table.logit.to_numpy() / temperature)
    return table.assign(probability=probability, unlikeness=unlikeness), temperature


def judge_splits(predictions: pd.DataFrame, threshold: float, doubt: float) -> dict[str, Figures]:
    """The figures of val, and those of test with intervals, rounded; an undefined one is None."""
    val, test = (predictions[predictions.split == name] for name in ("val", "test"))
    resampled = resample(test, lambda weights: judge(test, threshold, weights))
    with_bounds = with_intervals(judge(test, threshold).iloc[0], resampled)
    figures: dict[str, dict[str, Any]] = {
        "val": {**judge(val, threshold).iloc[0]} | _judge_plainly(val, threshold),
        "test": with_bounds | _judge_plainly(test, threshold) | _judge_without_doubts(test, threshold, doubt),
    }
    return {split: {name: _plain(value) for name, value in part.items()} for split, part in figures.items()}


def judge_warnings(cells: pd.DataFrame, threshold: float, margin: float, limit: float) -> Figures:
    """What a user of the predictions is warned of: doubtful_rate, unlike_rate, accuracy_without_warning."""
    doubtful = certainty(cells.probability.to_numpy(), threshold) < margin
    unlike = cells.unlikeness > limit
    rest = judge_calls(cells[~doubtful & ~unlike], threshold)
    figures = {"doubtful_rate": doubtful.mean(), "unlike_rate": unlike.mean()}
    figures |= {"accuracy_without_warning": rest.accuracy.iloc[0]}
    return {name: _plain(value) for name, value in figures.items()}


def find_mistakes(predictions: pd.DataFrame, threshold: float) -> dict[str, pd.DataFrame]:
    """The cells of test that were called wrongly, by kind, the most confident first."""
    test = predictions[predictions.split == "test"].sort_values(["probability", "name"])
    called = test.probability >= threshold
    return {
        "False negatives": test[~called & (test.label == 1)],
        "False positives": test[called & (test.label == 0)][::-1],
    }


def pick_parasitized(predictions: pd.DataFrame, split: str) -> pd.DataFrame:
    """TYPICAL parasitized cells of a split at random; any of its cells if none is parasitized."""
    cells = predictions[predictions.split == split]
    parasitized = cells[cells.label == 1]
    return (cells if parasitized.empty else parasitized).sample(frac=1, random_state=0).head(TYPICAL)


def find_suspects(cells: pd.DataFrame, doubt: float) -> pd.DataFrame:
    """The cells to whose label the model gives less than `doubt`, the least likely first.

    The columns are name, patient, label and probability.
    """
    of_label = cells.probability.where(cells.label == 1, 1 - cells.probability)
    against = cells.logit.where(cells.label == 0, -cells.logit)  # unlike probabilities, not rounded to 0 or 1
    doubted = cells.assign(against=against)[of_label < doubt].sort_values(["against", "name"], ascending=[False, True])
    return doubted[["name", "patient", "label", "probability"]]


def uncalibrate(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells with the probabilities that the network itself would give."""
    return cells.assign(probability=sigmoid(cells.logit.to_numpy()))


def _check_finite(table: pd.DataFrame) -> None:
    broken = table[~np.isfinite(table.logit)]
    if len(broken):
        raise UserError(
            f"{len(broken)} of {len(table)} logits are no numbers, the first that of {broken.name.iloc[0]}: "
            "models/model.safetensors is broken; train again, with a lower train.lr if it comes back"
        )


def _judge_plainly(cells: pd.DataFrame, threshold: float) -> dict[str, Any]:
    """What needs no interval: counts, and the calibration as it was before."""
    before = judge_calibration(uncalibrate(cells)).iloc[0]
    return {**count_calls(cells, threshold), **before.add_suffix("_uncalibrated")}


def _judge_without_doubts(cells: pd.DataFrame, threshold: float, doubt: float) -> dict[str, Any]:
    """How many labels are doubted, and the accuracy on the rest: flattering, since what is doubted are mistakes."""
    suspects = find_suspects(cells, doubt)
    rest = judge_calls(cells.drop(suspects.index), threshold)
    return {"label_doubts": len(suspects), "accuracy_without_doubts": rest.accuracy.iloc[0]}


def _plain(value: float) -> float | int | None:
    """For JSON: rounded, None for NaN, and a count as it is."""
    if isinstance(value, int):
        return value
    return None if np.isnan(value) else round(float(value), DIGITS)
