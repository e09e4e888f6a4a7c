"""From where on a cell is called parasitized, doubtful, or unlike the others: chosen on val, and frozen for test."""

import numpy as np
import pandas as pd

from malaria.calibration import certainty
from malaria.errors import UserError
from malaria.metrics import roc_points

DEFAULT = 0.5
GOALS = {  # what each point but the default must reach on val, at the best that the other figure then has
    "specificity_95": ("specificity", 0.95),
    "specificity_99": ("specificity", 0.99),
    "sensitivity_95": ("sensitivity", 0.95),
    "sensitivity_98": ("sensitivity", 0.98),
}


def choose_thresholds(val: pd.DataFrame) -> dict[str, float | None]:
    """The threshold of each operating point; None where val cannot say: no cell of a class, or none reaches the goal.

    Of the thresholds that reach the goal it is the one best in the other figure, and of equals the strictest.
    """
    curve = roc_points(val, drop=False).iloc[1:]  # the first calls nothing
    rates = curve.assign(sensitivity=curve.true_positive_rate, specificity=1 - curve.false_positive_rate)
    return {"default": DEFAULT} | {name: _best(rates, *goal) for name, goal in GOALS.items()}


def choose_threshold(points: dict[str, float | None], name: str) -> float:
    """The threshold of one point.

    Raises:
        UserError: val could not choose it.
    """
    threshold = points[name]
    if threshold is None:
        able = ", ".join(point for point, value in points.items() if value is not None)
        raise UserError(f"evaluate.threshold: no threshold reaches {name} on val; those that are reached: {able}")
    return threshold


def choose_margin(val: pd.DataFrame, threshold: float, share: float) -> float:
    """The certainty below which a call is doubtful, so that a share of val's are."""
    return float(np.quantile(certainty(val.probability.to_numpy(), threshold), share).round(6))


def choose_limit(val: pd.DataFrame, share: float) -> float:
    """The unlikeness above which a cell is unlike the training cells, so that a share of val's are."""
    return float(val.unlikeness.quantile(1 - share).round(6))


def _best(rates: pd.DataFrame, figure: str, goal: float) -> float | None:
    other = "sensitivity" if figure == "specificity" else "specificity"
    reached = rates[(rates[figure] >= goal) & (rates[other] > 0)]
    if reached.empty:
        return None
    return float(reached.sort_values([other, "threshold"]).threshold.iloc[-1])
