"""Points of the ROC, precision-recall and reliability curves."""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from malaria.evaluation.metrics import bin_of


def reliability_points(cells: pd.DataFrame) -> pd.DataFrame:
    """Calibration, a row a bin that has cells: predicted (mean probability), observed (share of positives), cells."""
    groups = cells.groupby(bin_of(cells.probability.to_numpy()))
    points = groups.agg(predicted=("probability", "mean"), observed=("label", "mean"), cells=("label", "size"))
    return points.reset_index(drop=True)


def roc_points(cells: pd.DataFrame, drop: bool = True) -> pd.DataFrame:
    """The ROC curve: false_positive_rate, true_positive_rate, threshold; empty without cells of both classes.

    It begins where every prediction is negative. With `drop` only its corners are kept.
    """
    if cells.label.nunique() < 2:
        return pd.DataFrame({"false_positive_rate": [], "true_positive_rate": [], "threshold": []})
    false, true, threshold = roc_curve(cells.label, cells.probability, drop_intermediate=drop)
    threshold[0] = 1  # scikit-learn has infinity here, which JSON has not
    return pd.DataFrame({"false_positive_rate": false, "true_positive_rate": true, "threshold": threshold})


def pr_points(cells: pd.DataFrame, most: int = 500) -> pd.DataFrame:
    """The precision-recall curve: recall, precision, threshold; at most so many points, both ends among them.

    Empty without cells of both classes.
    """
    if cells.label.nunique() < 2:
        return pd.DataFrame({"recall": [], "precision": [], "threshold": []})
    precision, recall, threshold = precision_recall_curve(cells.label, cells.probability)
    points = pd.DataFrame({"recall": recall, "precision": precision, "threshold": np.append(threshold, 1)})
    return points.iloc[np.unique(np.linspace(0, len(points) - 1, most).round().astype(int))]
