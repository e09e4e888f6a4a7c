"""Metrics of weighted cells: with all weights 1 the metric itself, with those of a resample its bootstrap replicate.

Cells are a table with the columns label (0 or 1), patient and probability (of 1). Weights are (R, N), R sets of one
weight a cell. A metric is (R,), NaN where it is undefined, as sensitivity is where no weight is on a positive.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[Any]

BINS = 15  # of equal width, for calibration (Guo et al., ICML 2017)


def compute_metrics(cells: pd.DataFrame, threshold: float, weights: Array | None = None) -> pd.DataFrame:
    """All metrics: a row a set of weights, a column a metric."""
    parts = (
        classification_metrics(cells, threshold, weights),
        ranking_metrics(cells, weights),
        calibration_metrics(cells, weights),
    )
    return pd.concat(parts, axis=1)


def classification_metrics(cells: pd.DataFrame, threshold: float | Array, weights: Array | None = None) -> pd.DataFrame:
    """Metrics of the predictions at a threshold, one for all cells or (N,).

    macro_sensitivity and macro_specificity are means over patients; healthy_false_positive_rate is that of the patients
    without a parasitized cell.
    """
    weights = _one_each(cells) if weights is None else weights
    label, positive = cells.label.to_numpy() == 1, cells.probability.to_numpy() >= threshold
    groups = cells.groupby("patient").label
    positives, size = (groups.transform(of).to_numpy() for of in ("sum", "size"))
    tp, fp = weights @ (label & positive), weights @ (~label & positive)
    fn, tn = weights @ (label & ~positive), weights @ (~label & ~positive)
    healthy = positives == 0
    positive_share, negative_share = label / np.maximum(positives, 1), ~label / np.maximum(size - positives, 1)
    metrics = {
        "accuracy": ratio(tp + tn, tp + tn + fp + fn),
        "sensitivity": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "precision": ratio(tp, tp + fp),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "mcc": ratio(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
        "macro_sensitivity": ratio(weights @ (positive_share * positive), weights @ positive_share),
        "macro_specificity": ratio(weights @ (negative_share * ~positive), weights @ negative_share),
        "healthy_false_positive_rate": ratio(weights @ (healthy & positive), weights @ healthy),
    }
    return pd.DataFrame(metrics)


def ranking_metrics(cells: pd.DataFrame, weights: Array | None = None) -> pd.DataFrame:
    """roc_auc, where ties count half, and pr_auc, the average precision."""
    weights = _one_each(cells) if weights is None else weights
    order = np.argsort(-cells.probability.to_numpy(), kind="stable")
    label, probability = cells.label.to_numpy()[order] == 1, cells.probability.to_numpy()[order]
    last = np.append(np.flatnonzero(np.diff(probability)), len(cells) - 1)  # of each group of equal probability
    ordered = weights[:, order]
    tp = np.cumsum(ordered * label, axis=1)[:, last]
    fp = np.cumsum(ordered * ~label, axis=1)[:, last]
    more_tp, more_fp = np.diff(tp, axis=1, prepend=0), np.diff(fp, axis=1, prepend=0)
    positives, negatives = tp[:, -1], fp[:, -1]
    precision = np.nan_to_num(ratio(tp, tp + fp))  # 0 / 0 before the first weight, where nothing is added
    metrics = {
        "roc_auc": ratio((more_fp * (tp - more_tp / 2)).sum(1), positives * negatives),
        "pr_auc": np.where(negatives > 0, ratio((more_tp * precision).sum(1), positives), np.nan),
    }
    return pd.DataFrame(metrics)


def calibration_metrics(cells: pd.DataFrame, weights: Array | None = None) -> pd.DataFrame:
    """brier, the mean square of probability minus label, and ece, the expected calibration error over BINS."""
    weights = _one_each(cells) if weights is None else weights
    label, probability = cells.label.to_numpy(), cells.probability.to_numpy()
    total = weights.sum(1)
    gaps = weights @ (np.eye(BINS)[bin_of(probability)] * (probability - label)[:, None])  # (R, BINS), cells' worth
    return pd.DataFrame(
        {"brier": ratio(weights @ (probability - label) ** 2, total), "ece": ratio(np.abs(gaps).sum(1), total)}
    )


def confusion_counts(cells: pd.DataFrame, threshold: float) -> dict[str, int]:
    """True and false positives and negatives: tp, fp, fn, tn."""
    positive, label = cells.probability >= threshold, cells.label == 1
    counts = {"tp": label & positive, "fp": ~label & positive, "fn": label & ~positive, "tn": ~label & ~positive}
    return {name: int(which.sum()) for name, which in counts.items()}


def ratio(part: Array, whole: Array) -> Array:
    """part / whole, NaN where whole is 0."""
    whole = np.broadcast_to(whole, np.shape(part))
    quotient: Array = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole != 0)
    return quotient


def _one_each(cells: pd.DataFrame) -> Array:
    """The weights of the cells as they are."""
    return np.ones((1, len(cells)))


def bin_of(probability: Array) -> Array:
    """The number of the bin, of BINS, that each probability falls into; 1 falls into the last."""
    bins: Array = np.minimum((probability * BINS).astype(int), BINS - 1)
    return bins
