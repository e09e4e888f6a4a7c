"""Metrics checked by hand, and against scikit-learn's."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from malaria.evaluation.metrics import compute_metrics, confusion_counts
from tests.support.tables import random_predictions, table

# Ten cells of three patients: of five parasitized four are positive at 0.5, of five uninfected two
LABELS = [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
PROBABILITIES = [0.9, 0.8, 0.7, 0.6, 0.2, 0.75, 0.5, 0.4, 0.3, 0.1]
CELLS = table(LABELS, PROBABILITIES, "AAABBABCCC")


def test_metrics_of_a_small_table_by_hand() -> None:
    assert compute_metrics(CELLS, 0.5).iloc[0].to_dict() == pytest.approx(
        {
            "accuracy": 7 / 10,
            "sensitivity": 4 / 5,
            "specificity": 3 / 5,  # a probability of exactly the threshold is positive
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
    other = compute_metrics(CELLS, 0.85).iloc[0]
    assert (other.sensitivity, other.specificity, other.roc_auc) == pytest.approx((0.2, 1.0, 19 / 25))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=2, max_size=60))
def test_areas_and_mcc_are_scikit_learns_ties_included(pairs: list[tuple[int, int]]) -> None:
    labels, tenths = zip(*pairs, strict=True)
    values = compute_metrics(table(list(labels), [tenth / 10 for tenth in tenths]), 0.5).iloc[0]
    if len(set(labels)) == 2:
        mcc = sklearn.metrics.matthews_corrcoef(labels, np.array(tenths) >= 5)  # 0 where it is undefined
        assert values.roc_auc == pytest.approx(sklearn.metrics.roc_auc_score(labels, tenths))
        assert values.pr_auc == pytest.approx(sklearn.metrics.average_precision_score(labels, tenths))
        assert np.nan_to_num(values.mcc) == pytest.approx(mcc)
    else:
        assert np.isnan([values.roc_auc, values.pr_auc]).all()


def test_a_weight_counts_as_that_many_cells_and_of_a_patient_as_that_many_patients() -> None:
    cells = random_predictions(n=60)
    codes = cells.patient.factorize()[0]
    weights = np.random.default_rng(1).integers(0, 4, (5, codes.max() + 1))[:, codes]
    weighted = compute_metrics(cells, 0.4, weights.astype(float))
    of_cells = weighted.columns.drop(["macro_sensitivity", "macro_specificity"])
    for row, times in enumerate(weights):
        repeated = compute_metrics(cells.loc[cells.index.repeat(times)], 0.4)[of_cells]
        assert weighted[of_cells].iloc[row].to_dict() == pytest.approx(repeated.iloc[0].to_dict())
    twice_a = compute_metrics(CELLS, 0.5, np.where(CELLS.patient == "A", 2.0, 1.0)[None]).iloc[0]
    assert twice_a.macro_sensitivity == pytest.approx((2 * 3 / 3 + 1 / 2) / 3)
    assert twice_a.macro_specificity == pytest.approx((2 * 0 + 0 + 1) / 4)


@pytest.mark.parametrize(("label", "undefined"), [(1, "specificity"), (0, "sensitivity")])
def test_metrics_of_a_class_that_is_missing_are_undefined(label: int, undefined: str) -> None:
    values = compute_metrics(table([label] * 4, [0.1, 0.4, 0.6, 0.9]), 0.5).iloc[0]
    assert values[[undefined, f"macro_{undefined}", "roc_auc", "pr_auc", "mcc"]].isna().all()
    assert values.accuracy == 0.5


def test_no_positive_prediction_leaves_precision_and_mcc_undefined() -> None:
    values = compute_metrics(table(LABELS, [0.0] * 10), 0.5).iloc[0]
    assert values[["precision", "mcc"]].isna().all()
    assert values.sensitivity == values.f1 == 0


def test_probabilities_of_exactly_0_and_1_have_all_metrics() -> None:
    values = compute_metrics(table([1, 1, 0, 0], [1.0, 0.0, 0.0, 1.0]), 0.5).iloc[0]
    assert values.notna().all()
    assert (values.brier, values.ece, values.roc_auc) == (0.5, 0.5, 0.5)
    perfect = compute_metrics(table(LABELS, [float(label) for label in LABELS], "AAABBABCCC"), 0.5).iloc[0]
    zero = ["brier", "ece", "healthy_false_positive_rate"]
    assert (perfect.drop(zero) == 1).all()
    assert (perfect[zero] == 0).all()
