"""Thresholds are chosen on val, reach there what their names say, and are the best that do."""

import numpy as np
import pytest

from malaria.core.errors import UserError
from malaria.evaluation.calibration import GOALS, choose_margin, choose_thresholds, ood_limit, pick_threshold
from malaria.evaluation.metrics import classification_metrics
from tests.support.tables import random_predictions, table

# 20 uninfected cells at 0.00, 0.05 ... 0.95 and as many parasitized at 0.02, 0.07 ... 0.97
LADDER = table([0] * 20 + [1] * 20, [n / 20 for n in range(20)] + [n / 20 + 0.02 for n in range(20)])


def test_thresholds_checked_by_hand() -> None:
    points = choose_thresholds(LADDER)
    assert points == pytest.approx(
        {
            "default": 0.5,
            "specificity_95": 0.92,  # one uninfected cell of twenty, at 0.95, may be called
            "specificity_99": 0.97,  # none may
            "sensitivity_95": 0.07,  # one parasitized cell, at 0.02, may be missed
            "sensitivity_98": 0.02,
        }
    )


@pytest.mark.parametrize("name", GOALS)
def test_the_goal_is_reached_and_no_threshold_is_better(name: str) -> None:
    val = random_predictions(3)
    figure, goal = GOALS[name]
    other = {"sensitivity": "specificity", "specificity": "sensitivity"}[figure]
    threshold = pick_threshold(choose_thresholds(val), name)
    rates = {at: classification_metrics(val, at).iloc[0] for at in val.probability}
    assert rates[threshold][figure] >= goal
    assert rates[threshold][other] == max(rate[other] for rate in rates.values() if rate[figure] >= goal)


def test_val_of_one_class_can_only_have_the_default() -> None:
    points = choose_thresholds(table([1, 1], [0.2, 0.8]))
    assert points == {"default": 0.5} | dict.fromkeys(GOALS)
    with pytest.raises(UserError, match=r"evaluate.threshold: .*specificity_95.* those that are reached: default"):
        pick_threshold(points, "specificity_95")


def test_a_goal_that_only_calling_nothing_reaches_is_not_reached() -> None:
    points = choose_thresholds(table([0, 1, 0, 1], [1.0, 0.5, 0.2, 0.3]))
    assert points["specificity_99"] is None
    assert points["sensitivity_98"] == 0.3


def test_a_goal_that_only_calling_everything_reaches_is_not_reached() -> None:
    assert choose_thresholds(table([0, 0, 1, 1], [0.9, 0.8, 0.95, 0.1]))["sensitivity_98"] is None


def test_no_mistake_at_all_reaches_every_goal_between_the_classes() -> None:
    points = choose_thresholds(table([0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0]))
    assert set(points.values()) == {0.5, 1.0}
    assert not np.isnan(list(points.values())).any()  # type: ignore[arg-type]


@pytest.mark.parametrize("threshold", [0.5, 0.1])
def test_as_many_calls_are_doubtful_as_was_asked_and_they_are_the_nearest(threshold: float) -> None:
    val = random_predictions(1)
    margin = choose_margin(val, threshold, 0.1)
    distance = abs(val.logit - np.log(threshold / (1 - threshold)))
    assert (distance < margin).sum() == 80
    assert choose_margin(val, threshold, 0) == pytest.approx(distance.min(), abs=1e-6)


def test_as_many_cells_are_unlike_as_was_asked() -> None:
    val = random_predictions(1).assign(ood_score=lambda cells: np.arange(len(cells)) / 100)
    assert (val.ood_score > ood_limit(val, 0.01)).sum() == 8
