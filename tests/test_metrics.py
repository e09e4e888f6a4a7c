"""Figures checked by hand."""

import numpy as np
import pytest

from malaria.metrics import fit_temperature, judge, pr_points, roc_points, sigmoid

# Ten cells: of five parasitized four are called so at 0.5, of five uninfected two are
LABELS = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
PROBABILITIES = np.array([0.9, 0.8, 0.7, 0.6, 0.2, 0.75, 0.5, 0.4, 0.3, 0.1])


def test_figures_of_a_small_table() -> None:
    figures = judge(LABELS, PROBABILITIES, 0.5)
    assert figures == pytest.approx(
        {
            "tp": 4,
            "fp": 2,  # a probability of exactly the threshold counts as parasitized
            "fn": 1,
            "tn": 3,
            "accuracy": 7 / 10,
            "sensitivity": 4 / 5,
            "specificity": 3 / 5,
            "precision": 4 / 6,
            "f1": 8 / 11,
            "mcc": (4 * 3 - 2 * 1) / (6 * 5 * 5 * 4) ** 0.5,
            "roc_auc": (5 + 5 + 4 + 4 + 1) / 25,  # uninfected cells below each parasitized one
            "pr_auc": (1 / 1 + 2 / 2 + 3 / 4 + 4 / 5 + 5 / 9) / 5,
        }
    )


def test_another_threshold_moves_the_counts_and_not_the_areas() -> None:
    low, high = judge(LABELS, PROBABILITIES, 0.15), judge(LABELS, PROBABILITIES, 0.85)
    assert (low["sensitivity"], low["specificity"]) == (1.0, 0.2)
    assert (high["sensitivity"], high["specificity"]) == (0.2, 1.0)
    assert low["roc_auc"] == high["roc_auc"]


@pytest.mark.parametrize(("label", "undefined"), [(1, "specificity"), (0, "sensitivity")])
def test_a_figure_of_a_class_that_is_not_there_is_none(label: int, undefined: str) -> None:
    figures = judge(np.full(4, label), np.array([0.1, 0.4, 0.6, 0.9]), 0.5)
    assert figures[undefined] is None
    assert figures["roc_auc"] is figures["pr_auc"] is figures["mcc"] is None
    assert figures["accuracy"] == 0.5


def test_no_positive_call_leaves_precision_and_mcc_undefined() -> None:
    figures = judge(LABELS, np.zeros(10), 0.5)
    assert figures["precision"] is figures["mcc"] is None
    assert figures["sensitivity"] == figures["f1"] == 0


def test_sigmoid_bears_any_logit() -> None:
    assert sigmoid(np.array([-1e4, -1.0, 0.0, 1.0, 1e4])) == pytest.approx([0, 0.268941, 0.5, 0.731059, 1], abs=1e-6)


@pytest.mark.parametrize("truth", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(truth: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 4, 50_000)
    labels = random.random(50_000) < sigmoid(logits / truth)
    assert fit_temperature(labels, logits) == pytest.approx(truth, rel=0.05)


def test_curves_begin_and_end_in_their_corners() -> None:
    roc, pr = roc_points(LABELS, PROBABILITIES), pr_points(LABELS, PROBABILITIES)
    assert roc.iloc[[0, -1], :2].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert np.isfinite(roc.to_numpy()).all()
    assert pr.recall.iloc[[0, -1]].tolist() == [1, 0]


def test_a_long_curve_is_thinned_to_its_ends_and_an_even_choice_between() -> None:
    random = np.random.default_rng(0)
    points = pr_points(random.integers(0, 2, 5000), random.random(5000), most=100)
    assert len(points) == 100
    assert points.recall.iloc[[0, -1]].tolist() == [1, 0]
