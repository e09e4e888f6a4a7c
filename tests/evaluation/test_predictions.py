"""From logits to predictions.csv, and from that to the metrics."""

import json

import numpy as np
import pandas as pd
import pytest

from malaria.core.errors import UserError
from malaria.evaluation.metrics import compute_metrics
from malaria.evaluation.predictions import (
    CORRECTED,
    HEADLINE,
    WITHOUT_DOUBTED,
    evaluate_splits,
    find_label_errors,
    find_mistakes,
    headline,
    tabulate_predictions,
)
from tests.support.tables import predictions, random_predictions

CELLS = pd.DataFrame(
    {
        "name": [f"C{n}.png" for n in range(8)],
        "label": [0, 1, 0, 1, 0, 1, 1, 0],
        "patient": [f"C{n}" for n in range(8)],
        "split": ["val"] * 4 + ["test"] * 4,
    }
)
LOGITS = np.array([-2.0, 2.0, 1.0, -1.0, -3.0, 3.0, -0.5, 0.2])
OOD_SCORES = np.arange(8) / 4


def evaluate(table: pd.DataFrame, margin: float = 0.0, ood_limit: float = 9.0) -> pd.DataFrame:
    """plots/metrics.csv by metric, at the threshold 0.5 and label errors below 0.05."""
    table = table if "ood_score" in table else table.assign(ood_score=0.0)
    return evaluate_splits(table, 0.5, margin, ood_limit, 0.05).set_index("metric")


def test_probabilities_are_those_of_logits_divided_by_a_temperature_fitted_on_val_alone() -> None:
    table, temperature = tabulate_predictions(CELLS, LOGITS, OOD_SCORES)
    assert table.columns.tolist() == ["name", "patient", "label", "split", "logit", "probability", "ood_score"]
    assert table[["logit", "ood_score"]].to_numpy().T.tolist() == [LOGITS.tolist(), OOD_SCORES.tolist()]
    assert table.probability.to_numpy() == pytest.approx(1 / (1 + np.exp(-LOGITS / temperature)))
    changed = np.where(CELLS.split == "test", -100 * LOGITS, LOGITS)
    assert tabulate_predictions(CELLS, changed, OOD_SCORES)[1] == temperature


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused_by_the_name_of_the_first(broken: float) -> None:
    with pytest.raises(UserError, match=r"2 of 8 .*C3\.png"):
        tabulate_predictions(CELLS, np.where(np.arange(8) % 4 == 3, broken, LOGITS), OOD_SCORES)


def test_val_and_test_are_evaluated_apart_and_test_with_intervals() -> None:
    table, _ = tabulate_predictions(CELLS, LOGITS, OOD_SCORES)
    metrics = evaluate(table)
    assert metrics.columns.tolist() == ["test", "low", "high", "val", *WITHOUT_DOUBTED, *CORRECTED]
    assert metrics.loc["accuracy", ["test", "val"]].tolist() == [0.5, 0.5]
    assert metrics.test[["tp", "fn", "fp", "tn"]].tolist() == [1, 1, 1, 1]
    assert set(compute_metrics(table, 0.5)) <= set(metrics.index)


def test_metrics_without_doubted_cells_are_those_of_test_with_these_dropped_and_stand_beside_the_others() -> None:
    table = random_predictions().assign(ood_score=lambda cells: cells.logit.abs())
    doubted = table[table.split == "test"].iloc[::7].name
    limits = 0.4, 0.2, 3.0, 0.05
    without = evaluate_splits(table, *limits)
    assert without[WITHOUT_DOUBTED].isna().all(axis=None)
    both = evaluate_splits(table, *limits, {*doubted, table.name.iloc[0], "elsewhere.png"})
    pd.testing.assert_frame_equal(both.drop(columns=WITHOUT_DOUBTED), without.drop(columns=WITHOUT_DOUBTED))
    rest = evaluate_splits(table[~table.name.isin(doubted)], *limits)
    assert np.array_equal(both[WITHOUT_DOUBTED], rest[["test", "low", "high"]], equal_nan=True)
    assert not both.without_doubted.equals(both.test)


def test_metrics_with_corrected_labels_are_those_of_test_with_these_labels_and_stand_beside_the_others() -> None:
    table = random_predictions().assign(ood_score=lambda cells: cells.logit.abs())
    test = table[table.split == "test"]
    changed, left_out = test.iloc[::7], test.iloc[1::14]
    corrections = dict(zip(changed.name, 1 - changed.label, strict=True)) | dict.fromkeys(left_out.name)
    others = {table.name.iloc[0]: 1 - table.label.iloc[0], "elsewhere.png": 1}
    limits = 0.4, 0.2, 3.0, 0.05
    without, both = evaluate_splits(table, *limits), evaluate_splits(table, *limits, None, corrections | others)
    assert without[CORRECTED].isna().all(axis=None)
    pd.testing.assert_frame_equal(both.drop(columns=CORRECTED), without.drop(columns=CORRECTED))
    table.loc[changed.index, "label"] = 1 - changed.label
    expected = evaluate_splits(table.drop(left_out.index), *limits)
    assert np.array_equal(both[CORRECTED], expected[["test", "low", "high"]], equal_nan=True)
    assert not both.corrected.equals(both.test)


def test_the_headline_is_accuracy_first_with_its_interval_and_metrics_of_test() -> None:
    metrics = evaluate(random_predictions())
    values = headline(metrics.reset_index())
    assert list(values) == ["accuracy", "accuracy_low", "accuracy_high", *HEADLINE]
    assert list(values.values())[:3] == metrics.loc["accuracy", ["test", "low", "high"]].tolist()
    assert values["roc_auc"] == metrics.test.roc_auc != metrics.val.roc_auc
    inside = (metrics.low < metrics.test) & (metrics.test < metrics.high)
    assert inside[["accuracy", "precision", "f1", "pr_auc", "brier", *HEADLINE[:-1]]].all()


@pytest.mark.parametrize(("label", "undefined"), [(0, "sensitivity"), (1, "specificity")])
def test_metrics_that_one_class_leaves_undefined_are_none_in_the_headline_and_not_zero(
    label: int, undefined: str
) -> None:
    metrics = evaluate(predictions([0, 1, 0, 1], [label] * 8, [-1, 1, -2, 2] + [1, -1] * 4))
    assert metrics.loc[[undefined, "roc_auc"], ["test", "low", "high"]].isna().all(axis=None)
    values = json.loads(json.dumps(headline(metrics.reset_index()), allow_nan=False))
    assert values[undefined] is values["roc_auc"] is values["mcc"] is None
    assert values["accuracy"] == 0.5


def test_a_single_patient_has_metrics_but_no_intervals() -> None:
    metrics = evaluate(predictions([0, 1, 0, 1], [0, 1, 0, 1], [-1, 1, -2, 2, -1, 1, -2, 2]))
    values = headline(metrics.reset_index())
    assert (values["accuracy"], values["accuracy_low"], values["accuracy_high"]) == (1, None, None)


def test_calibration_metrics_are_given_before_and_after_temperature_scaling() -> None:
    table = random_predictions()
    metrics = evaluate(table.assign(probability=table.label))
    assert metrics.test.brier == metrics.test.ece == 0
    before = compute_metrics(table[table.split == "test"], 0.5).iloc[0]
    assert metrics.test.brier_uncalibrated == pytest.approx(before.brier, abs=1e-5)
    assert metrics.test.ece_uncalibrated == pytest.approx(before.ece, abs=1e-5)


def test_label_errors_are_the_labels_contradicted_with_confidence_the_most_confident_first() -> None:
    table = predictions([0, 1], [1, 1, 0, 0, 0, 1], [-1, 1, -4, 4, 5, -5, 2, -60])
    test = table[table.split == "test"].reset_index(drop=True)
    assert find_label_errors(test, 0.05).columns.tolist() == ["name", "patient", "label", "probability"]
    assert find_label_errors(test, 0.05).index.tolist() == [5, 2, 0]
    assert find_label_errors(test, 0.15).index.tolist() == [5, 2, 0, 4]
    names = ["accuracy", "label_errors", "accuracy_without_label_errors"]
    assert evaluate(table).test[names].tolist() == [0.33333, 3, 0.66667]
    all_wrong = evaluate(predictions([0, 1], [0, 1], [-1, 1, 9, -9])).test[names]
    assert (all_wrong.label_errors, np.isnan(all_wrong.accuracy_without_label_errors)) == (2, True)


def test_uncertain_and_ood_cells_are_counted_and_the_rest_has_an_accuracy() -> None:
    table, temperature = tabulate_predictions(CELLS, LOGITS, OOD_SCORES)
    names = ["uncertain_rate", "ood_rate", "accuracy_without_warnings"]
    # of test the logits are -3, 3, -0.5 and 0.2, of which the last two are wrong
    assert evaluate(table, 0.4 / temperature, 1.1).test[names].tolist() == [0.25, 0.75, 1.0]
    assert evaluate(table, 0.4 / temperature, 9).test[names].tolist() == [0.25, 0, 0.66667]
    assert np.isnan(evaluate(table, 0, 0).test.accuracy_without_warnings)


def test_mistakes_are_the_misclassified_cells_of_test_the_most_confident_first() -> None:
    table = random_predictions()
    misses, alarms = find_mistakes(table, 0.5).values()
    assert (misses.label == 1).all()
    assert (alarms.label == 0).all()
    assert misses.probability.is_monotonic_increasing
    assert alarms.probability.is_monotonic_decreasing
    assert misses.probability.max() < 0.5 <= alarms.probability.min()
    test = table[table.split == "test"]
    assert 1 < len(misses) + len(alarms) == ((test.probability >= 0.5) != test.label).sum()
