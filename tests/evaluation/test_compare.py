"""Which of two variants is better, on tables whose answer is known."""

import json
from typing import Any

import numpy as np
import pytest

from malaria.cli.compare import explain, shorten, to_tree
from malaria.evaluation.compare import Run, compare_variants, group_runs, list_differences
from tests.support.tables import table


def run(name: str, right: Any, cells: range = range(400), **params: Any) -> Run:
    """A run that is correct on a cell as the list says; five cells a patient, half of them parasitized."""
    label = np.array([cell % 2 for cell in cells])
    probability = np.where(np.resize(np.asarray(right, bool), len(cells)) == (label == 1), 0.9, 0.1)
    predictions = table(label.tolist(), probability.tolist()).assign(patient=[f"C{cell // 5}" for cell in cells])
    return Run(name, params, predictions.assign(name=[f"cell{cell}" for cell in cells], threshold=0.5))


def share(part: float) -> np.ndarray:
    """Correct on that share of 100 cells, spread over them."""
    return np.random.default_rng(0).permutation(100) < 100 * part


BASE = run("base", share(0.90), **{"train.augment": "none", "split.fold": 0})
BETTER = run("better", share(0.97), **{"train.augment": "full", "split.fold": 0})


def test_a_variant_of_fewer_errors_is_better_and_the_other_way_round_worse() -> None:
    first, row = compare_variants([[BASE], [BETTER]]).itertuples()
    assert (first.accuracy, row.accuracy, row.difference) == pytest.approx((0.90, 0.97, 0.07))
    assert row.verdict == "better"
    assert row.mcnemar_p < 0.001 < row.difference_low
    back = compare_variants([[BETTER], [BASE]]).iloc[1]
    assert back.verdict == "worse"
    assert (back.difference_low, back.difference_high) == pytest.approx((-row.difference_high, -row.difference_low))


def test_a_gain_within_the_noise_of_patients_shows_no_difference() -> None:
    """Two errors fewer and one more: McNemar's p and the interval agree."""
    right = np.arange(400) % 10 > 0
    more = right.copy()
    more[[0, 100]], more[1] = True, False
    row = compare_variants([[run("one", right)], [run("two", more, a=1)]]).iloc[1]
    assert (row.verdict, row.mcnemar_p) == ("no difference shown", pytest.approx(1.0))


@pytest.mark.parametrize("cells", [range(400), range(5)])
def test_equal_predictions_or_a_single_patient_show_no_difference(cells: range) -> None:
    right = [1] if len(cells) > 5 else [0, 1]
    row = compare_variants([[run("one", right, cells)], [run("two", [1], cells, a=1)]]).iloc[1]
    assert (row.difference > 0) == (len(cells) == 5)
    assert row.verdict == "no difference shown"


def test_errors_that_both_make_cancel_out() -> None:
    """One patient in four has only errors on both sides: each accuracy is uncertain, the difference hardly."""
    more = (np.arange(400) // 5) % 4 != 0
    right = more & (np.arange(400) % 20 != 7)
    row = compare_variants([[run("a", right)], [run("b", more, x=1)]]).iloc[1]
    assert row.difference_high - row.difference_low < 0.5 * (row.accuracy_high - row.accuracy_low)
    assert row.verdict == "better"


def test_mcnemar_is_of_the_discordant_pairs() -> None:
    """10 gained, 2 lost: the exact two-sided p is 2 * P(Binomial(12, 1/2) <= 2)."""
    one, two = np.arange(400) >= 10, np.arange(400) < 398
    assert compare_variants([[run("a", one)], [run("b", two)]]).mcnemar_p[1] == pytest.approx(2 * (1 + 12 + 66) / 2**12)


def test_runs_that_differ_only_in_fold_and_seed_are_one_variant() -> None:
    runs = [
        run("a0", [1], **{"split.fold": 0, "train.seed": 0, "train.lr": 0.1}),
        run("b0", [1], **{"split.fold": 0, "train.seed": 0, "train.lr": 0.2}),
        run("a1", [1], **{"split.fold": 1, "train.seed": 5, "train.lr": 0.1}),
    ]
    assert [[each.name for each in group] for group in group_runs(runs)] == [["a0", "a1"], ["b0"]]
    assert list_differences(group_runs(runs)) == {"a0": {"train.lr": 0.1}, "b0": {"train.lr": 0.2}}


def test_the_same_params_twice_are_two_variants_since_the_code_may_have_changed() -> None:
    runs = [run(f"{branch}{fold}", [1], **{"train.lr": 0.1, "split.fold": fold}) for branch in "ab" for fold in (0, 1)]
    groups = group_runs(runs)
    assert [[each.name for each in group] for group in groups] == [["a0", "a1"], ["b0", "b1"]]
    assert "b0: the same params (b0, b1)" in explain(compare_variants(groups), groups)


def test_folds_are_pooled_and_have_a_mean_and_sd() -> None:
    folds = [run("f0", [1, 1, 1, 0], range(200)), run("f1", [1], range(200, 400))]
    row = compare_variants([folds]).iloc[0]
    assert (row.runs, row.cells, row.accuracy) == (2, 400, 0.875)
    assert (row.accuracy_mean, row.accuracy_sd) == pytest.approx((0.875, 0.125 * 2**0.5))
    assert (row.sensitivity_mean, row.sensitivity_sd) == pytest.approx((0.75, 0.25 * 2**0.5))


def test_only_cells_that_both_tested_are_compared_and_each_counts_once() -> None:
    """Two seeds against one: the seeds' mean on the 200 cells that both have. McNemar's test takes no cell twice."""
    seeds = [run("s0", [1]), run("s1", [0])]
    row = compare_variants([seeds, [run("other", [1], range(200, 600), a=1)]]).iloc[1]
    assert (row.shared, row.difference) == (200, 0.5)
    assert row.mcnemar_p is None or np.isnan(row.mcnemar_p)


def test_each_run_is_evaluated_at_its_own_threshold() -> None:
    strict = Run("strict", {"a": 1}, BASE.cells.assign(threshold=0.95))
    sensitivity = BASE.cells[BASE.cells.label == 1].probability.ge(0.5).mean()
    assert compare_variants([[BASE], [strict]]).sensitivity.tolist() == pytest.approx([sensitivity, 0])


def test_without_a_common_cell_there_is_no_difference_and_the_params_to_set_are_named() -> None:
    variants = [[BASE], [run("elsewhere", [1], range(1000, 1400), **{"split.fold": 1})]]
    table = compare_variants(variants)
    assert (table.shared[1], table.verdict[1]) == (0, "no test cell in common")
    assert any("elsewhere" in line and "split.by" in line for line in explain(table, variants))
    assert shorten(table)["difference, points"].tolist() == ["", ""]


def test_the_table_is_in_percent_for_people_and_complete_in_json() -> None:
    variants = [[BASE], [BETTER]]
    table = compare_variants(variants)
    short = shorten(table)
    assert short["accuracy %"][0].startswith("90.00 [")
    assert short["difference, points"][1].startswith("+7.00 [+")
    assert short.verdict.tolist() == ["", "better"]
    first, second = json.loads(json.dumps(to_tree(table, variants), allow_nan=False))
    assert first["difference"] is None
    assert (second["params"], second["revisions"]) == ({"train.augment": "full"}, ["better"])
