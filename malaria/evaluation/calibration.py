"""Calibrated probabilities, operating points, when a prediction is uncertain, and how often it is wrong.

Imported by all that predicts.
"""

import numpy as np
from pydantic import BaseModel, ConfigDict

from malaria.evaluation.metrics import Array

DEFAULT = 0.5
GOALS = {  # what an operating point must reach on val; of the thresholds that do, the best in the other metric is taken
    "specificity_95": ("specificity", 0.95),
    "specificity_99": ("specificity", 0.99),
    "sensitivity_95": ("sensitivity", 0.95),
    "sensitivity_98": ("sensitivity", 0.98),
}

Beta = tuple[float, float]  # alpha and beta of a Beta distribution


class ErrorRates(BaseModel):
    """Sensitivity and specificity to expect in a patient whom the model has not seen, at any threshold.

    Each is a Beta distribution, fitted to the patients of val: its spread is that between patients and, since these are
    few, of what is not known of it. It holds for patients like those of val, not for another laboratory's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    logits: tuple[float, ...]  # (T,) thresholds, as calibrated logits, ascending
    sensitivity: tuple[Beta, ...] | None  # (T,) alpha, beta at each of them; None where val has no parasitized cell
    specificity: tuple[Beta, ...] | None  # likewise of uninfected cells

    def at(self, threshold: float) -> tuple[Beta | None, Beta | None]:
        """Sensitivity and specificity at a threshold in 0..1: between the logits linear, beyond them as at the last."""
        return self._between(self.sensitivity, threshold), self._between(self.specificity, threshold)

    def _between(self, betas: tuple[Beta, ...] | None, threshold: float) -> Beta | None:
        if betas is None:
            return None
        alpha, beta = (np.interp(to_logits(threshold), self.logits, values) for values in zip(*betas, strict=True))
        return float(alpha), float(beta)


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
