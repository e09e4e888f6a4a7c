"""What is chosen on val and frozen for test: temperature, thresholds, limits of the warnings, and error rates."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import betaln

from malaria.core.errors import UserError
from malaria.evaluation.calibration import DEFAULT, GOALS, Beta, ErrorRates, to_logits
from malaria.evaluation.curves import roc_points
from malaria.evaluation.metrics import Array
from malaria.params import OperatingPoint

QUANTILES = np.linspace(0, 1, 401)  # of val's calibrated logits, that model.json keeps
ERROR_LOGITS = np.arange(-6, 6.5, 0.5)  # calibrated logits, as thresholds, at which model.json has error rates

# the grid over which a beta-binomial is integrated: means of the patients' rates, and the roots of the correlation
# between cells of a patient, 1 / (1 + alpha + beta), each evenly spaced in the scale on which its prior is flat
_MEANS = np.sin(np.pi / 2 * (np.arange(160) + 0.5) / 160)[:, None] ** 2
_ROOTS = ((np.arange(32) + 0.5) / 32)[None]
_TOTALS = _ROOTS**-2 - 1  # alpha + beta
_PRIOR = np.where(np.minimum(_MEANS, 1 - _MEANS) * _TOTALS >= 0.5, 0, -np.inf)  # logarithm


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


def ood_limit(scores: Array, share: float) -> float:
    """The OOD score above which a cell is out of distribution, so that a share of those with (N,) scores are."""
    return float(np.quantile(scores, 1 - share).round(6))


def fit_error_rates(val: pd.DataFrame) -> ErrorRates:
    """Sensitivity and specificity in a new patient at each of ERROR_LOGITS, from val's patients (photos, cells).

    Where the groups are photos or single cells, the spread between patients is not in the data, or not all of it.
    """
    at_least = to_logits(val.probability.to_numpy())[:, None] >= ERROR_LOGITS
    positive = val.label.to_numpy() == 1
    return ErrorRates(
        logits=tuple(ERROR_LOGITS.tolist()),
        sensitivity=_fit_betas(at_least[positive], val.patient[positive]),
        specificity=_fit_betas(~at_least[~positive], val.patient[~positive]),
    )


def _fit_betas(right: Array, patients: pd.Series) -> tuple[Beta, ...] | None:
    """The Beta of each column of (N, T) predictions, which are right or not; None where N is 0."""
    if patients.empty:
        return None
    counts = pd.DataFrame(right).groupby(patients.to_numpy()).sum()
    cells = patients.value_counts()[counts.index].to_numpy()
    return tuple(fit_beta(counts[column].to_numpy(), cells) for column in counts)


def fit_beta(right: Array, cells: Array) -> Beta:
    """The Beta distribution of the rate in a new patient, given (P,) cells of patients and how many of these are right.

    Counts are beta-binomial. Maximum likelihood is infinite where patients do not differ or all cells are right, and
    too narrow where patients are few, so mean and spread are integrated over their posterior, and the Beta has the mean
    and variance of the predictive distribution (Gelman et al., Bayesian Data Analysis, 2013, section 5.3). Priors:
    Jeffreys' of the mean, and flat in the root of the correlation, which is the standard deviation between patients as
    a share of the largest possible. Alpha and beta are 1/2 at least: without this bound, error rates of nearly 0 would
    be explained by patients who are either perfect or hopeless.
    """
    alpha, beta = _MEANS * _TOTALS, (1 - _MEANS) * _TOTALS
    pairs, times = np.unique(np.stack([right, cells - right], 1), axis=0, return_counts=True)
    log = _PRIOR - times.sum() * betaln(alpha, beta)
    for (hits, misses), count in zip(pairs, times, strict=True):
        log = log + count * betaln(alpha + hits, beta + misses)
    weights = np.exp(log - log.max()) / np.exp(log - log.max()).sum()
    mean = (weights * _MEANS).sum()
    variance = (weights * (_MEANS * (1 - _MEANS) * _ROOTS**2 + (_MEANS - mean) ** 2)).sum()
    strength = mean * (1 - mean) / variance - 1
    return float(f"{mean * strength:.4g}"), float(f"{(1 - mean) * strength:.4g}")
