"""What is chosen on val: temperature, thresholds, the OOD limit and error rates."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.stats import beta as beta_distribution

from malaria.core.errors import UserError
from malaria.evaluation.calibration import GOALS, Beta, sigmoid
from malaria.evaluation.metrics import classification_metrics
from malaria.evaluation.thresholds import (
    choose_thresholds,
    fit_beta,
    fit_error_rates,
    fit_temperature,
    ood_limit,
    pick_threshold,
)
from tests.support.tables import random_predictions, table


@pytest.mark.parametrize("truth", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(truth: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 4, 50_000)
    labels = random.random(50_000) < sigmoid(logits / truth)
    assert fit_temperature(labels, logits) == pytest.approx(truth, rel=0.05)


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1], [0, 1, 1]])
def test_one_class_alone_or_no_mistake_has_a_finite_temperature(labels: list[int]) -> None:
    assert 0.04 < fit_temperature(np.array(labels), np.array([-2.0, 1.0, 3.0])) < 21


def test_thresholds_by_hand() -> None:
    """20 uninfected cells at 0.00, 0.05 ... 0.95 and as many parasitized at 0.02, 0.07 ... 0.97."""
    ladder = table([0] * 20 + [1] * 20, [n / 20 for n in range(20)] + [n / 20 + 0.02 for n in range(20)])
    assert choose_thresholds(ladder) == pytest.approx(
        {
            "default": 0.5,
            "specificity_95": 0.92,  # one uninfected cell of twenty, at 0.95, may be a false positive
            "specificity_99": 0.97,  # none may
            "sensitivity_95": 0.07,  # one parasitized cell, at 0.02, may be missed
            "sensitivity_98": 0.02,
        }
    )
    perfect = choose_thresholds(table([0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0]))
    assert set(perfect.values()) == {0.5, 1.0}


@pytest.mark.parametrize("name", GOALS)
def test_the_goal_is_reached_and_no_threshold_is_better(name: Any) -> None:
    val = random_predictions(3)
    metric, goal = GOALS[name]
    other = {"sensitivity": "specificity", "specificity": "sensitivity"}[metric]
    threshold = pick_threshold(choose_thresholds(val), name)
    rates = {at: classification_metrics(val, at).iloc[0] for at in val.probability}
    assert rates[threshold][metric] >= goal
    assert rates[threshold][other] == max(rate[other] for rate in rates.values() if rate[metric] >= goal)


def test_val_of_one_class_has_the_default_threshold_alone() -> None:
    points = choose_thresholds(table([1, 1], [0.2, 0.8]))
    assert points == {"default": 0.5} | dict.fromkeys(GOALS)
    with pytest.raises(UserError, match=r"evaluate\.threshold: .*specificity_95.*: default"):
        pick_threshold(points, "specificity_95")


def test_a_goal_that_only_one_prediction_for_all_cells_reaches_is_not_reached() -> None:
    assert choose_thresholds(table([0, 1, 0, 1], [1.0, 0.5, 0.2, 0.3]))["specificity_99"] is None
    assert choose_thresholds(table([0, 0, 1, 1], [0.9, 0.8, 0.95, 0.1]))["sensitivity_98"] is None


def test_the_share_of_scores_above_the_ood_limit_is_that_of_params() -> None:
    scores = np.arange(800) / 100
    assert (scores > ood_limit(scores, 0.01)).sum() == 8


def draw_right(rate: Beta, patients: int, cells: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Cells that are right of so many, in each patient."""
    random = np.random.default_rng(seed)
    return random.binomial(cells, random.beta(*rate, patients))


def spread(rate: Beta) -> float:
    return float(beta_distribution.std(*rate))


def test_the_rates_of_many_patients_are_found() -> None:
    found = fit_beta(draw_right((27, 3), 500, 60), np.full(500, 60))
    assert beta_distribution.mean(*found) == pytest.approx(0.9, abs=0.01)
    assert spread(found) == pytest.approx(spread((27, 3)), rel=0.15)


def test_a_new_patient_is_within_the_interval_as_often_as_it_says() -> None:
    """Of 15 patients each, as val has; the truth is another than the priors expect."""
    fits = [fit_beta(draw_right((12, 1.5), 15, 60, seed), np.full(15, 60)) for seed in range(100)]
    held = [np.diff(beta_distribution.cdf(beta_distribution.ppf([0.025, 0.975], *fit), 12, 1.5))[0] for fit in fits]
    assert 0.92 < np.mean(held) < 0.985


def test_the_fewer_patients_the_less_is_known() -> None:
    shares = np.array([54, 58, 56, 60, 50])
    few, more = (fit_beta(np.tile(shares, n), np.full(5 * n, 60)) for n in (1, 10))
    assert spread(few) > 1.2 * spread(more)


@pytest.mark.parametrize("patients", [1, 3, 15])
def test_perfect_counts_do_not_make_a_perfect_classifier(patients: int) -> None:
    rate = fit_beta(np.full(patients, 40), np.full(patients, 40))
    mean, upper = beta_distribution.mean(*rate), beta_distribution.ppf(0.05, *rate)
    assert np.isfinite(rate).all()
    assert mean < 1 - 1 / (60 * patients)
    assert upper < 1 - 1 / (60 * patients)
    assert sum(rate) < 40 * patients * 2
    assert fit_beta(np.zeros(patients, int), np.full(patients, 40)) == pytest.approx(rate[::-1])


def test_single_cells_in_place_of_patients_leave_the_spread_unknown() -> None:
    right = np.repeat([1, 0], [190, 10])
    alone, together = fit_beta(right, np.ones(200, int)), fit_beta(np.full(20, 95), np.full(20, 100))
    assert spread(alone) > 2 * spread(together)


def test_error_rates_follow_the_threshold_and_are_those_of_val() -> None:
    val = random_predictions(2)
    rates = fit_error_rates(val)
    assert rates.sensitivity
    assert rates.specificity
    sensitivity, specificity = (
        beta_distribution.mean(*np.transpose(it)) for it in (rates.sensitivity, rates.specificity)
    )
    assert (np.diff(sensitivity) <= 0).all()
    assert (np.diff(specificity) >= 0).all()
    truth = classification_metrics(val, 0.5).iloc[0]
    found = [beta_distribution.mean(*rate) for rate in rates.at(0.5) if rate]
    assert found == pytest.approx([truth.sensitivity, truth.specificity], abs=0.03)


@pytest.mark.parametrize("label", [0, 1])
def test_error_rates_of_a_class_that_val_lacks_are_undefined(label: int) -> None:
    val: pd.DataFrame = table([label] * 4, [0.2, 0.4, 0.6, 0.8], "AABB")
    undefined, defined = fit_error_rates(val).at(0.5)[:: 1 if label == 0 else -1]
    assert undefined is None
    assert defined
