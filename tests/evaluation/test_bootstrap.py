"""Intervals are over patients, and are as wide as other patients would make them."""

import numpy as np
import pandas as pd
import pytest

from malaria.evaluation.bootstrap import interval, resample, with_intervals
from malaria.evaluation.metrics import Array, classification_metrics, judge
from tests.support.tables import random_predictions, table


def accuracies(cells: pd.DataFrame, resamples: int = 2000) -> pd.Series:
    return resample(cells, lambda weights: classification_metrics(cells, 0.5, weights), resamples).accuracy


def test_the_same_table_has_the_same_resamples() -> None:
    cells = random_predictions(n=40)
    pd.testing.assert_series_equal(accuracies(cells), accuracies(cells))


def test_a_resample_has_each_cell_of_a_patient_as_often_as_the_others_and_as_many_patients() -> None:
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


def test_two_patients_one_all_right_one_all_wrong_can_be_checked_by_hand() -> None:
    """A twice, each once, B twice: 1/4, 1/2, 1/4 of the resamples."""
    values = accuracies(table([1, 1, 0, 0], [0.9, 0.9, 0.9, 0.9], "AABB"), 4000)
    shares = values.value_counts(normalize=True)
    assert shares[0.5] == pytest.approx(1 / 2, abs=0.03)
    assert shares[0.0] == pytest.approx(1 / 4, abs=0.03)
    assert interval(values) == (0.0, 1.0)


def test_the_spread_is_that_of_the_binomial_when_each_cell_is_a_patient_of_its_own() -> None:
    n, p = 400, 0.9
    cells = table([1] * n, [0.9] * round(p * n) + [0.1] * round((1 - p) * n))
    assert accuracies(cells).std() == pytest.approx((p * (1 - p) / n) ** 0.5, rel=0.05)


def test_cells_that_go_together_make_the_interval_wider() -> None:
    label, probability = [1] * 400, [0.9] * 360 + [0.1] * 40
    alone = accuracies(table(label, probability)).std()
    together = accuracies(table(label, probability, "".join(chr(65 + n // 20) for n in range(400)))).std()
    assert together == pytest.approx(alone * 20**0.5, rel=0.05)  # 20 patients instead of 400


def test_a_single_patient_says_nothing_of_others() -> None:
    cells = table([1, 0, 1], [0.9, 0.1, 0.2], "AAA")
    assert np.isnan(interval(accuracies(cells))).all()


def test_a_figure_that_is_often_undefined_has_no_interval() -> None:
    cells = table([1, 0, 0, 0], [0.9, 0.1, 0.2, 0.7])  # a third of the resamples lack the one parasitized cell
    resampled = resample(cells, lambda weights: judge(cells, 0.5, weights))
    flat = with_intervals(judge(cells, 0.5).iloc[0], resampled)
    assert flat["sensitivity"] == 1
    assert np.isnan([flat["sensitivity_low"], flat["sensitivity_high"]]).all()
    assert flat["accuracy_low"] < flat["accuracy"] < flat["accuracy_high"]


def test_many_cells_are_resampled_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = random_predictions(n=50)
    whole = accuracies(cells)
    monkeypatch.setattr("malaria.bootstrap._AT_ONCE", 1000)
    pd.testing.assert_series_equal(accuracies(cells), whole)
