"""Figures checked by hand, and against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from malaria.evaluation.metrics import (
    BINS,
    classification_metrics,
    confusion_counts,
    judge,
    pr_points,
    reliability_points,
    roc_points,
)
from tests.support.tables import random_predictions, table

# Ten cells of three patients: of five parasitized four are called so at 0.5, of five uninfected two are
LABELS = [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
PROBABILITIES = [0.9, 0.8, 0.7, 0.6, 0.2, 0.75, 0.5, 0.4, 0.3, 0.1]
CELLS = table(LABELS, PROBABILITIES, "AAABBABCCC")


def test_figures_of_a_small_table() -> None:
    figures = judge(CELLS, 0.5).iloc[0].to_dict()
    assert figures == pytest.approx(
        {
            "accuracy": 7 / 10,
            "sensitivity": 4 / 5,
            "specificity": 3 / 5,  # a probability of exactly the threshold counts as parasitized
            "precision": 4 / 6,
            "f1": 8 / 11,
            "mcc": (4 * 3 - 2 * 1) / (6 * 5 * 5 * 4) ** 0.5,
            "macro_sensitivity": (3 / 3 + 1 / 2) / 2,  # A, B
            "macro_specificity": (0 / 1 + 0 / 1 + 3 / 3) / 3,  # A, B, C
            "healthy_false_positive_rate": 0 / 3,  # C
            "roc_auc": (5 + 5 + 4 + 4 + 1) / 25,  # uninfected cells below each parasitized one
            "pr_auc": (1 / 1 + 2 / 2 + 3 / 4 + 4 / 5 + 5 / 9) / 5,
            "brier": sum((p - y) ** 2 for p, y in zip(PROBABILITIES, LABELS, strict=True)) / 10,
            "ece": (0.1 + 0.2 + 0.3 + 0.4 + 0.8 + 0.75 + 0.5 + 0.4 + 0.3 + 0.1) / 10,  # each in a bin of its own
        }
    )
    assert confusion_counts(CELLS, 0.5) == {"tp": 4, "fp": 2, "fn": 1, "tn": 3}


def test_another_threshold_moves_the_rates_and_not_the_areas() -> None:
    low, high = judge(CELLS, 0.15).iloc[0], judge(CELLS, 0.85).iloc[0]
    assert (low.sensitivity, low.specificity) == (1.0, 0.2)
    assert (high.sensitivity, high.specificity) == (0.2, 1.0)
    assert low.roc_auc == high.roc_auc


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=2, max_size=60))
def test_the_areas_are_scikit_learns_ties_included(pairs: list[tuple[int, int]]) -> None:
    labels, tenths = zip(*pairs, strict=True)
    figures = judge(table(list(labels), [tenth / 10 for tenth in tenths]), 0.5).iloc[0]
    if len(set(labels)) == 2:
        assert figures.roc_auc == pytest.approx(metrics.roc_auc_score(labels, tenths))
        assert figures.pr_auc == pytest.approx(metrics.average_precision_score(labels, tenths))
        assert figures.mcc == pytest.approx(metrics.matthews_corrcoef(labels, np.array(tenths) >= 5), nan_ok=True) or (
            np.isnan(figures.mcc)  # scikit-learn has 0 where nothing, or all, is called
        )
    else:
        assert np.isnan([figures.roc_auc, figures.pr_auc]).all()


def test_a_weight_counts_as_that_many_cells() -> None:
    cells = random_predictions(n=60)
    codes = cells.patient.factorize()[0]
    weights = np.random.default_rng(1).integers(0, 4, (5, codes.max() + 1))[:, codes]
    together = judge(cells, 0.4, weights.astype(float)).drop(columns=["macro_sensitivity", "macro_specificity"])
    for row, times in enumerate(weights):
        repeated = judge(cells.loc[cells.index.repeat(times)], 0.4)[together.columns]
        assert together.iloc[row].to_dict() == pytest.approx(repeated.iloc[0].to_dict())


def test_the_weight_of_a_patient_counts_him_as_that_many_patients() -> None:
    weights = np.array([[2.0 if patient == "A" else 1.0 for patient in CELLS.patient]])
    figures = judge(CELLS, 0.5, weights).iloc[0]
    assert figures.macro_sensitivity == pytest.approx((2 * 3 / 3 + 1 / 2) / 3)
    assert figures.macro_specificity == pytest.approx((2 * 0 + 0 + 1) / 4)


@pytest.mark.parametrize(("label", "undefined"), [(1, "specificity"), (0, "sensitivity")])
def test_a_figure_of_a_class_that_is_not_there_is_undefined(label: int, undefined: str) -> None:
    figures = judge(table([label] * 4, [0.1, 0.4, 0.6, 0.9]), 0.5).iloc[0]
    assert np.isnan(figures[[undefined, f"macro_{undefined}", "roc_auc", "pr_auc", "mcc"]].to_numpy()).all()
    assert figures.accuracy == 0.5


def test_no_positive_call_leaves_precision_and_mcc_undefined() -> None:
    figures = judge(table(LABELS, [0.0] * 10), 0.5).iloc[0]
    assert np.isnan(figures[["precision", "mcc"]].to_numpy()).all()
    assert figures.sensitivity == figures.f1 == 0


def test_probabilities_of_exactly_0_and_1_are_judged_as_any_other() -> None:
    figures = judge(table([1, 1, 0, 0], [1.0, 0.0, 0.0, 1.0]), 0.5).iloc[0]
    assert figures.isna().sum() == 0
    assert (figures.brier, figures.ece, figures.roc_auc) == (0.5, 0.5, 0.5)


def test_two_of_one_bin_may_make_up_for_each_other() -> None:
    assert judge(table([1, 0], [0.5, 0.5]), 0.5).ece.iloc[0] == 0


def test_no_mistake_at_all() -> None:
    figures = judge(table(LABELS, [float(label) for label in LABELS], "AAABBABCCC"), 0.5).iloc[0]
    assert (figures.drop(["brier", "ece", "healthy_false_positive_rate"]) == 1).all()
    assert (figures[["brier", "ece", "healthy_false_positive_rate"]] == 0).all()


def test_the_calibration_curve_says_what_came_true_of_what_was_said() -> None:
    points = reliability_points(table([0, 0, 1, 1, 1], [0.01, 0.03, 0.05, 0.97, 1.0]))
    assert points.predicted.tolist() == pytest.approx([0.03, 0.985])
    assert points.observed.tolist() == pytest.approx([1 / 3, 1])
    assert points.cells.tolist() == [3, 2]
    assert BINS == 15


def test_curves_begin_and_end_in_their_corners() -> None:
    roc, pr = roc_points(CELLS), pr_points(CELLS)
    assert roc.iloc[[0, -1], :2].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert np.isfinite(roc.to_numpy()).all()
    assert pr.recall.iloc[[0, -1]].tolist() == [1, 0]


def test_a_long_curve_is_thinned_to_its_ends_and_an_even_choice_between() -> None:
    points = pr_points(random_predictions(n=2500), most=100)
    assert len(points) == 100
    assert points.recall.iloc[[0, -1]].tolist() == [1, 0]


def test_there_is_no_curve_of_one_class() -> None:
    one = table([1, 1], [0.2, 0.8])
    assert roc_points(one).empty
    assert pr_points(one).empty
    assert classification_metrics(one, 0.5).sensitivity.iloc[0] == 0.5
