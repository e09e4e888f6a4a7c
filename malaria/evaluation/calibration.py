"""Calibrated probabilities, operating points, and when a prediction is uncertain; imported by all that predicts."""

import numpy as np

from malaria.evaluation.metrics import Array

DEFAULT = 0.5
GOALS = {  # what an operating point must reach on val; of the thresholds that do, the best in the other metric is taken
    "specificity_95": ("specificity", 0.95),
    "specificity_99": ("specificity", 0.99),
    "sensitivity_95": ("sensitivity", 0.95),
    "sensitivity_98": ("sensitivity", 0.98),
}


def sigmoid(logits: Array) -> Array:
    """Probabilities of logits, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float64)))


def to_logits(probabilities: Array | float) -> Array:
    """The float64 logits of probabilities; finite for 0 and 1."""
    inside = np.clip(np.asarray(probabilities, np.float64), 1e-12, 1 - 1e-12)
    logits: Array = np.log(inside / (1 - inside))
    return logits


def certainty(probabilities: Array, threshold: float) -> Array:
    """The distance of the logit of each probability from that of the threshold."""
    distance: Array = np.abs(to_logits(probabilities) - to_logits(threshold))
    return distance


def uncertainty_margin(quantiles: list[float], threshold: float, share: float) -> float:
    """The certainty below which a prediction is uncertain, so that a share of val's are at this threshold."""
    distance = np.abs(np.asarray(quantiles) - to_logits(threshold))
    return float(np.quantile(distance, share))
