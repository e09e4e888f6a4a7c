"""From logits to probabilities that mean what they say: temperature scaling (Guo et al., ICML 2017)."""

import numpy as np

from malaria.metrics import Array


def sigmoid(logits: Array) -> Array:
    """Probabilities of logits, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float64)))


def to_logits(probabilities: Array) -> Array:
    """The logits of probabilities; finite for 0 and 1 too."""
    inside = np.clip(probabilities, 1e-12, 1 - 1e-12)
    logits: Array = np.log(inside / (1 - inside))
    return logits


def certainty(probabilities: Array, threshold: float) -> Array:
    """How far the logit of each probability lies from that of the threshold."""
    distance: Array = np.abs(to_logits(probabilities) - to_logits(np.array(threshold)))
    return distance


def fit_temperature(labels: Array, logits: Array) -> float:
    """The divisor of the logits that makes their probabilities likeliest, 0.05 to 20."""
    from scipy.optimize import minimize_scalar  # half a second, which only this needs

    sign = 1 - 2 * np.asarray(labels)
    best = minimize_scalar(
        lambda log_t: np.logaddexp(0, sign * logits / np.exp(log_t)).mean(), bounds=np.log([0.05, 20]), method="bounded"
    )
    return float(np.exp(best.x))
