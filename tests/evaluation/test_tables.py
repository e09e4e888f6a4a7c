"""The tables of plots/, by hand."""

import numpy as np
import pandas as pd
import pytest

from malaria.evaluation.tables import (
    PREVALENCES,
    predictive_values,
    tabulate,
    tabulate_confusion,
    tabulate_coverage,
    tabulate_operating_points,
    tabulate_patients,
    tabulate_prevalence,
)
from malaria.evaluation.thresholds import choose_thresholds
from tests.support.tables import predictions, random_predictions, table


def test_the_confusion_table_has_actual_and_predicted_class_of_each_cell() -> None:
    confusion = tabulate_confusion(table([0, 1, 1, 0], [0.1, 0.9, 0.4, 0.5]), 0.5)
    assert confusion.actual.tolist() == ["Uninfected", "Parasitized", "Parasitized", "Uninfected"]
    assert confusion.predicted.tolist() == ["Uninfected", "Parasitized", "Uninfected", "Parasitized"]


def test_the_least_certain_predictions_are_left_out_first() -> None:
    cells = table([1] * 10, [0.9, 0.1, 0.8, 0.7, 0.95, 0.6, 0.45, 0.99, 0.41, 0.85])
    coverage = tabulate_coverage(cells, 0.5).set_index("coverage")
    assert coverage.index.tolist() == pytest.approx([n / 100 for n in range(100, 49, -1)])
    assert coverage.accuracy[1.0] == 0.7
    assert coverage.accuracy[0.9] == pytest.approx(7 / 9)  # without 0.45
    assert coverage.accuracy[0.8] == 7 / 8  # without 0.41
    assert coverage.accuracy[0.5] == pytest.approx(4 / 5)
    assert coverage.specificity.isna().all()


def test_certainty_is_the_distance_from_the_threshold_in_use() -> None:
    cells = table([0, 1], [0.91, 0.2])
    assert tabulate_coverage(cells, 0.9).set_index("coverage").accuracy[0.5] == 0  # 0.2 is further from 0.9
    assert tabulate_coverage(cells.assign(probability=[0.0, 1.0]), 1.0).accuracy.iloc[0] == 1


def test_predictive_values_follow_bayes_rule_at_each_prevalence() -> None:
    values = predictive_values(pd.DataFrame({"sensitivity": [0.9, 1.0], "specificity": [0.8, 1.0]}), 0.1)
    assert values.ppv.tolist() == pytest.approx([0.09 / (0.09 + 0.18), 1])
    assert values.npv.tolist() == pytest.approx([0.72 / (0.72 + 0.01), 1])
    prevalence = tabulate_prevalence(random_predictions().query("split == 'test'"), 0.5)
    assert tuple(prevalence.prevalence) == PREVALENCES
    assert prevalence.ppv.is_monotonic_increasing
    assert prevalence.npv.is_monotonic_decreasing
    assert ((prevalence.ppv_low < prevalence.ppv) & (prevalence.ppv < prevalence.ppv_high)).all()


def test_thresholds_chosen_on_val_are_applied_to_test() -> None:
    val, test = table([0, 1], [0.3, 0.6], "AB"), table([0, 1, 0, 1] * 2, [0.2, 0.55, 0.7, 0.9] * 2)
    rows = tabulate_operating_points(val, test, {"default": 0.5, "high": 0.6, "never": None}).set_index("point")
    assert rows.threshold.fillna(-1).tolist() == [0.5, 0.6, -1]
    assert rows.val_sensitivity[["default", "high"]].tolist() == [1, 1]
    assert rows.sensitivity[["default", "high"]].tolist() == [1, 0.5]
    assert rows.specificity[["default", "high"]].tolist() == [0.5, 0.5]
    assert rows.sensitivity_low["high"] <= 0.5 <= rows.sensitivity_high["high"]
    assert rows.loc["never"].isna().all()


def test_patients_are_listed_with_their_errors_the_highest_rate_first() -> None:
    rows = tabulate_patients(table([0, 0, 1, 1, 0, 1], [0.1, 0.8, 0.9, 0.2, 0.3, 0.7], "ABBBCC"), 0.5)
    assert rows.patient.tolist() == ["B", "A", "C"]
    counts = rows.iloc[0][["cells", "parasitized", "errors", "false_negatives", "false_positives"]]
    assert counts.tolist() == [3, 2, 2, 1, 1]
    rates = rows.iloc[0][["error_rate", "sensitivity", "specificity", "mean_probability"]]
    assert rates.tolist() == pytest.approx([2 / 3, 1 / 2, 0, (0.8 + 0.9 + 0.2) / 3])
    assert np.isnan(rows.sensitivity.iloc[1])


@pytest.mark.parametrize(
    "table",
    [
        random_predictions(),
        predictions([0, 1], [1, 1, 1, 1, 1, 1], [-1, 1, 1, 2, -3, 4, 2, 1]),  # one class
        predictions([0, 1, 0, 1], [0, 1, 1, 0], [-1, 1, -1, 1, -1, 1, 2, -2]),  # one patient, no mistake
        predictions([0, 1], [0, 1, 1, 0], [-900, 900, -900, 900, 900, -900]),  # exactly 0 and 1
    ],
    ids=["random", "one class", "one patient", "exact"],
)
def test_every_table_is_made_whatever_the_predictions(table: pd.DataFrame) -> None:
    points = choose_thresholds(table[table.split == "val"])
    tables = tabulate(table, 0.5, points, 0.05)
    assert len(tables) == 10
    assert len(tables["patients"]) == table[table.split == "test"].patient.nunique()
    for made in tables.values():
        assert not np.isinf(made.select_dtypes("number").to_numpy()).any()
