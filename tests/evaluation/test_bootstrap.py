"""Intervals are over patients, and are as wide as other patients would make them."""

import numpy as np
import pandas as pd
import pytest

from malaria.evaluation.bootstrap import interval, resample, with_intervals
from malaria.evaluation.metrics import Array, classification_metrics, compute_metrics
from tests.support.tables import random_predictions, table


def accuracies(cells: pd.DataFrame, resamples: int = 2000) -> pd.Series:
    return resample(cells, lambda weights: classification_metrics(cells, 0.5, weights), resamples).accuracy


def test_a_resample_draws_as_many_patients_each_with_all_its_cells() -> None:
    seen: list[Array] = []

    def look(weights: Array) -> pd.DataFrame:
        seen.append(weights)
        return pd.DataFrame({"none": np.zeros(len(weights))})

    resample(table([0] * 6, [0.1] * 6, "ABBCCC"), look, 50)
    weights = np.concatenate(seen)
    assert weights.shape == (50, 6)
    assert (weights[:, [1, 3, 3]] == weights[:, [2, 4, 5]]).all()
    assert (weights[:, [0, 1, 3]].sum(1) == 3).all()
    assert len(np.unique(weights, axis=0)) > 5


def test_the_resamples_of_two_patients_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A twice, each once, B twice: 1/4, 1/2, 1/4 of the resamples."""
    monkeypatch.setattr("malaria.evaluation.bootstrap.FEWEST", 2)
    values = accuracies(table([1, 1, 0, 0], [0.9, 0.9, 0.9, 0.9], "AABB"), 4000)
    shares = values.value_counts(normalize=True)
    assert (shares[0.5], shares[0.0]) == pytest.approx((1 / 2, 1 / 4), abs=0.03)
    assert interval(values) == (0.0, 1.0)


@pytest.mark.parametrize(("patients", "undefined"), [("AAAAAA", True), ("AABCDD", True), ("ABCDEE", False)])
def test_a_few_patients_have_no_interval(patients: str, undefined: bool) -> None:
    values = accuracies(table([1, 0, 1, 1, 0, 1], [0.9, 0.1, 0.2, 0.9, 0.9, 0.9], patients))
    assert np.isnan(interval(values)).all() == undefined


def test_the_spread_is_binomial_and_wider_where_cells_are_correlated() -> None:
    n, p = 400, 0.9
    label, probability = [1] * n, [0.9] * round(p * n) + [0.1] * round((1 - p) * n)
    alone = accuracies(table(label, probability)).std()  # each cell is a patient of its own
    assert alone == pytest.approx((p * (1 - p) / n) ** 0.5, rel=0.05)
    together = accuracies(table(label, probability, "".join(chr(65 + cell // 20) for cell in range(n)))).std()
    assert together == pytest.approx(alone * 20**0.5, rel=0.05)  # 20 patients instead of 400


def test_a_metric_that_is_often_undefined_has_no_interval() -> None:
    cells = table([1, 0, 0, 0, 0], [0.9, 0.1, 0.2, 0.7, 0.1])  # a third of the resamples lack the one parasitized cell
    resampled = resample(cells, lambda weights: compute_metrics(cells, 0.5, weights))
    flat = with_intervals(compute_metrics(cells, 0.5).iloc[0], resampled)
    assert flat["sensitivity"] == 1
    assert np.isnan([flat["sensitivity_low"], flat["sensitivity_high"]]).all()
    assert flat["accuracy_low"] < flat["accuracy"] < flat["accuracy_high"]


def test_many_cells_are_resampled_in_chunks_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = random_predictions(n=50)
    at_once = accuracies(cells)
    monkeypatch.setattr("malaria.evaluation.bootstrap._AT_ONCE", 1000)
    pd.testing.assert_series_equal(accuracies(cells), at_once)
