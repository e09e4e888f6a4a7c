"""From logits to the table that all figures come from, and to the figures."""

import json

import numpy as np
import pandas as pd
import pytest

from malaria.core.errors import UserError
from malaria.evaluation.metrics import judge
from malaria.evaluation.predictions import (
    find_label_errors,
    find_mistakes,
    judge_splits,
    judge_warnings,
    pick_parasitized,
    tabulate_predictions,
)
from tests.support.tables import predictions, random_predictions

CELLS = pd.DataFrame(
    {
        "name": [f"Uninfected/C{n}P1ThinF_IMG_1_1_cell_{n}.png" for n in range(8)],
        "label": [0, 1, 0, 1, 0, 1, 1, 0],
        "patient": [f"C{n}" for n in range(8)],
        "smear": "any",
        "split": ["val"] * 4 + ["test"] * 4,
    }
)
LOGITS = np.array([-2.0, 2.0, 1.0, -1.0, -3.0, 3.0, -0.5, 0.2])
UNLIKE = np.arange(8) / 4


def test_the_table_has_the_columns_promised_and_probabilities_of_the_tempered_logits() -> None:
    table, temperature = tabulate_predictions(CELLS, LOGITS, UNLIKE)
    assert table.columns.tolist() == ["name", "patient", "label", "split", "logit", "probability", "ood_score"]
    assert table.logit.tolist() == LOGITS.tolist()
    assert table.ood_score.tolist() == UNLIKE.tolist()
    assert table.probability.to_numpy() == pytest.approx(1 / (1 + np.exp(-LOGITS / temperature)))


def test_the_temperature_is_fitted_on_val_alone() -> None:
    _, temperature = tabulate_predictions(CELLS, LOGITS, UNLIKE)
    changed = np.where(CELLS.split == "test", -100 * LOGITS, LOGITS)
    assert tabulate_predictions(CELLS, changed, UNLIKE)[1] == temperature


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_logit_that_is_no_number_is_refused_by_name(broken: float) -> None:
    with pytest.raises(UserError, match=r"2 of 8 logits .* first that of Uninfected/C3P1ThinF.*safetensors"):
        tabulate_predictions(CELLS, np.where(np.arange(8) % 4 == 3, broken, LOGITS), UNLIKE)


def test_val_and_test_are_judged_apart_and_test_with_intervals() -> None:
    table, _ = tabulate_predictions(CELLS, LOGITS, UNLIKE)
    figures = judge_splits(table, 0.5, 0.05)
    val, test = figures["val"], figures["test"]
    assert (val["accuracy"], test["accuracy"]) == (0.5, 0.5)
    assert (test["tp"], test["fn"], test["fp"], test["tn"]) == (1, 1, 1, 1)
    assert (test["accuracy_low"], test["accuracy_high"]) == (0.0, 1.0)
    assert "accuracy_low" not in val
    every = set(judge(table, 0.5).columns)
    assert every <= val.keys()
    assert every | {f"{name}_{end}" for name in every for end in ("low", "high")} <= test.keys()


def test_figures_lie_within_their_intervals_and_go_into_json() -> None:
    test = judge_splits(random_predictions(), 0.5, 0.05)["test"]
    json.dumps(test, allow_nan=False)
    for name in ("accuracy", "sensitivity", "specificity", "precision", "f1", "mcc", "roc_auc", "pr_auc", "brier"):
        assert test[f"{name}_low"] < test[name] < test[f"{name}_high"], name  # type: ignore[operator]


def test_calibration_is_told_before_and_after() -> None:
    table = random_predictions().assign(probability=lambda cells: cells.label)
    test = judge_splits(table, 0.5, 0.05)["test"]
    assert test["brier"] == test["ece"] == 0
    before = judge(random_predictions().query("split == 'test'"), 0.5).iloc[0]
    assert test["brier_uncalibrated"] == pytest.approx(before.brier, abs=1e-5)
    assert test["ece_uncalibrated"] == pytest.approx(before.ece, abs=1e-5)


@pytest.mark.parametrize("label", [0, 1])
def test_a_test_split_of_one_class_leaves_figures_undefined_but_not_zero(label: int) -> None:
    table = predictions([0, 1, 0, 1], [label] * 8, [-1, 1, -2, 2] + [1, -1] * 4)
    test = judge_splits(table, 0.5, 0.05)["test"]
    undefined = "specificity" if label else "sensitivity"
    assert test[undefined] is test[f"{undefined}_low"] is test["roc_auc"] is test["roc_auc_high"] is None
    assert test["accuracy"] == 0.5


def test_a_single_patient_has_figures_but_no_intervals() -> None:
    table = predictions([0, 1, 0, 1], [0, 1, 0, 1], [-1, 1, -2, 2, -1, 1, -2, 2])
    test = judge_splits(table, 0.5, 0.05)["test"]
    assert test["accuracy"] == 1
    assert test["accuracy_low"] is test["accuracy_high"] is None


def test_suspects_are_the_labels_contradicted_with_confidence_the_most_confident_first() -> None:
    table = predictions([], [1, 1, 0, 0, 0, 1], [-4, 4, 5, -5, 2, -60])
    suspects = find_label_errors(table, 0.05)
    assert suspects.columns.tolist() == ["name", "patient", "label", "probability"]
    assert suspects.index.tolist() == [5, 2, 0]
    assert find_label_errors(table, 0.15).index.tolist() == [5, 2, 0, 4]


def test_accuracy_without_the_doubted_labels_stands_beside_that_with_them() -> None:
    table = predictions([0, 1], [1, 1, 0, 0, 0, 1], [-1, 1, -4, 4, 5, -5, 2, -60])
    test = judge_splits(table, 0.5, 0.05)["test"]
    assert (test["accuracy"], test["label_doubts"], test["accuracy_without_doubts"]) == (0.33333, 3, 0.66667)
    all_doubted = judge_splits(predictions([0, 1], [0, 1], [-1, 1, 9, -9]), 0.5, 0.05)["test"]
    assert (all_doubted["label_doubts"], all_doubted["accuracy_without_doubts"]) == (2, None)


def test_mistakes_are_the_wrong_cells_of_test_the_most_confident_first() -> None:
    table = random_predictions()
    misses, alarms = find_mistakes(table, 0.5).values()
    assert (misses.label == 1).all()
    assert (misses.probability < 0.5).all()
    assert misses.probability.is_monotonic_increasing
    assert (alarms.label == 0).all()
    assert (alarms.probability >= 0.5).all()
    assert alarms.probability.is_monotonic_decreasing
    test = table[table.split == "test"]
    assert 1 < len(misses) + len(alarms) == ((test.probability >= 0.5) != test.label).sum()


def test_warnings_are_counted_and_what_has_none_is_judged() -> None:
    table, temperature = tabulate_predictions(CELLS, LOGITS, UNLIKE)
    test = table[table.split == "test"]  # logits -3, 3, -0.5 and 0.2, of which the last two are wrong
    figures = judge_warnings(test, 0.5, 0.4 / temperature, 1.1)
    assert figures == {"doubtful_rate": 0.25, "unlike_rate": 0.75, "accuracy_without_warning": 1.0}
    assert judge_warnings(test, 0.5, 0.4 / temperature, 9)["accuracy_without_warning"] == 0.66667
    assert judge_warnings(test, 0.5, 0, 0)["accuracy_without_warning"] is None


def test_maps_are_measured_on_parasitized_cells_of_a_split_or_on_any() -> None:
    table = random_predictions()
    chosen = pick_parasitized(table, "test")
    assert (chosen.label == 1).all()
    assert (chosen.split == "test").all()
    assert len(chosen) == min(200, ((table.split == "test") & (table.label == 1)).sum())
    assert (pick_parasitized(table, "val").split == "val").all()
    assert len(pick_parasitized(predictions([0, 1], [0, 0], np.zeros(4)), "test")) == 2
