"""The points of ROC, precision-recall and reliability curves."""

import numpy as np
import pytest

from malaria.evaluation.curves import pr_points, reliability_points, roc_points
from malaria.evaluation.metrics import compute_metrics
from tests.support.tables import random_predictions, table


def test_reliability_compares_predicted_and_observed_shares_by_bin() -> None:
    points = reliability_points(table([0, 0, 1, 1, 1], [0.01, 0.03, 0.05, 0.97, 1.0]))
    assert points.to_numpy().tolist() == [pytest.approx([0.03, 1 / 3, 3]), pytest.approx([0.985, 1, 2])]
    assert compute_metrics(table([1, 0], [0.5, 0.5]), 0.5).ece.iloc[0] == 0  # errors of one bin cancel out


def test_curves_begin_and_end_in_their_corners_and_one_class_has_none() -> None:
    cells = table([1, 1, 1, 0, 1, 0, 0], [0.9, 0.8, 0.7, 0.75, 0.2, 0.4, 0.1])
    roc, pr, thinned = roc_points(cells), pr_points(cells), pr_points(random_predictions(n=2500), most=100)
    assert roc.iloc[[0, -1], :2].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert np.isfinite(roc.to_numpy()).all()
    assert pr.recall.iloc[[0, -1]].tolist() == thinned.recall.iloc[[0, -1]].tolist() == [1, 0]
    assert len(thinned) == 100
    one = table([1, 1], [0.2, 0.8])
    assert roc_points(one).empty
    assert pr_points(one).empty
