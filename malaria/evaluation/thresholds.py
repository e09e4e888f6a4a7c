"""What is chosen on val and frozen for test: temperature, thresholds, and limits of the warnings."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from malaria.core.errors import UserError
from malaria.evaluation.calibration import DEFAULT, GOALS, to_logits
from malaria.evaluation.curves import roc_points
from malaria.evaluation.metrics import Array
from malaria.params import OperatingPoint

QUANTILES = np.linspace(0, 1, 401)  # of val's calibrated logits, that model.json keeps


def fit_temperature(labels: Array, logits: Array) -> float:
    """The divisor of logits, 0.05 to 20, that maximises the likelihood of labels in 0..1 (Guo et al., ICML 2017)."""

    def loss(log_t: float) -> float:
        scaled = logits / np.exp(log_t)
        return float((labels * np.logaddexp(0, -scaled) + (1 - labels) * np.logaddexp(0, scaled)).mean())

    best = minimize_scalar(loss, bounds=np.log([0.05, 20]), method="bounded")
    return float(np.exp(best.x))


def smooth_labels(labels: Array) -> Array:
    """Labels moved inwards, the less the more there are, so that a few separable ones do not make the temperature 0.

    To (N+ + 1) / (N+ + 2) and 1 / (N- + 2) for N+ positive and N- negative ones (Platt, 1999).
    """
    positives, negatives = labels.sum(), (1 - labels).sum()
    smoothed: Array = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    return smoothed


def choose_thresholds(val: pd.DataFrame) -> dict[str, float | None]:
    """The threshold of each operating point; None where val lacks a class, or no threshold reaches the goal.

    Of thresholds that are equal in both metrics it is the highest.
    """
    curve = roc_points(val, drop=False).iloc[1:]  # at the first every prediction is negative
    rates = curve.assign(sensitivity=curve.true_positive_rate, specificity=1 - curve.false_positive_rate)
    return {"default": DEFAULT} | {name: _best(rates, *goal) for name, goal in GOALS.items()}


def _best(rates: pd.DataFrame, metric: str, goal: float) -> float | None:
    other = "sensitivity" if metric == "specificity" else "specificity"
    reached = rates[(rates[metric] >= goal) & (rates[other] > 0)]
    if reached.empty:
        return None
    return float(reached.sort_values([other, "threshold"]).threshold.iloc[-1])


def pick_threshold(points: dict[str, float | None], name: OperatingPoint) -> float:
    """The threshold of an operating point.

    Raises:
        UserError: val could not choose it.
    """
    threshold = points[name]
    if threshold is None:
        able = ", ".join(point for point, value in points.items() if value is not None)
        raise UserError(f"evaluate.threshold: no threshold reaches {name} on val; these are reached: {able}")
    return threshold


def logit_quantiles(val: pd.DataFrame) -> list[float]:
    """The QUANTILES of val's calibrated logits."""
    quantiles: list[float] = np.quantile(to_logits(val.probability.to_numpy()), QUANTILES).round(4).tolist()
    return quantiles


def ood_limit(val: pd.DataFrame, share: float) -> float:
    """The OOD score above which a cell is out of distribution, so that a share of val's are."""
    return float(val.ood_score.quantile(1 - share).round(6))
