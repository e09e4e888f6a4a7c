"""Figures of merit of labels (N,) 0 or 1 against probabilities (N,) of 1."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar
from sklearn import metrics

Array = npt.NDArray[Any]


def sigmoid(logits: Array) -> Array:
    """Probabilities of logits, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float64)))


def fit_temperature(labels: Array, logits: Array) -> float:
    """The divisor of the logits that makes their probabilities likeliest (Guo et al., ICML 2017); 0.05 to 20."""
    sign = 1 - 2 * np.asarray(labels)
    best = minimize_scalar(
        lambda log_t: np.logaddexp(0, sign * logits / np.exp(log_t)).mean(), bounds=np.log([0.05, 20]), method="bounded"
    )
    return float(np.exp(best.x))


def count_confusion(labels: Array, predicted: Array) -> dict[str, int]:
    """True and false positives and negatives."""
    tn, fp, fn, tp = metrics.confusion_matrix(labels, predicted, labels=[0, 1]).ravel().tolist()
    return {"tp": tp, "fp": fp, "fn": fn, "tn": tn}


def judge(labels: Array, probabilities: Array, threshold: float) -> dict[str, float | int | None]:
    """All figures; one that is undefined, such as sensitivity where there is no positive, is None."""
    labels, predicted = np.asarray(labels), np.asarray(probabilities) >= threshold
    counts = count_confusion(labels, predicted)
    tp, fp, fn, tn = counts["tp"], counts["fp"], counts["fn"], counts["tn"]
    both = tp + fn > 0 and tn + fp > 0
    return {
        "accuracy": _ratio(tp + tn, len(labels)),
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "precision": _ratio(tp, tp + fp),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "mcc": _ratio(tp * tn - fp * fn, math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
        "roc_auc": float(metrics.roc_auc_score(labels, probabilities)) if both else None,
        "pr_auc": float(metrics.average_precision_score(labels, probabilities)) if both else None,
        **counts,
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def roc_points(labels: Array, probabilities: Array) -> pd.DataFrame:
    """The ROC curve: false_positive_rate, true_positive_rate, threshold; only its corners."""
    false, true, threshold = metrics.roc_curve(labels, probabilities)
    threshold[0] = 1  # scikit-learn has infinity here, which JSON has not
    return pd.DataFrame({"false_positive_rate": false, "true_positive_rate": true, "threshold": threshold})


def pr_points(labels: Array, probabilities: Array, most: int = 500) -> pd.DataFrame:
    """The precision-recall curve: recall, precision, threshold; at most that many points, both ends among them."""
    precision, recall, threshold = metrics.precision_recall_curve(labels, probabilities)
    points = pd.DataFrame({"recall": recall, "precision": precision, "threshold": np.append(threshold, 1)})
    return points.iloc[np.unique(np.linspace(0, len(points) - 1, most).round().astype(int))]
