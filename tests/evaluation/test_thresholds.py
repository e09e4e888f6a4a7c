"""What is chosen on val: temperature, thresholds and the OOD limit."""

from typing import Any

import numpy as np
import pytest

from malaria.core.errors import UserError
from malaria.evaluation.calibration import GOALS, sigmoid
from malaria.evaluation.metrics import classification_metrics
from malaria.evaluation.thresholds import choose_thresholds, fit_temperature, ood_limit, pick_threshold
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


def test_the_share_of_val_above_the_ood_limit_is_that_of_params() -> None:
    val = random_predictions(1).assign(ood_score=lambda cells: np.arange(len(cells)) / 100)
    assert (val.ood_score > ood_limit(val, 0.01)).sum() == 8
