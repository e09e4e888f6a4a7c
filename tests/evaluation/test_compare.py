"""Which of two variants is better, on tables whose answer is known."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from malaria.markdown import to_markdown

from malaria.cli.compare import explain, shorten, to_tree
from malaria.evaluation.compare import (
    Run,
    compare_pair,
    compare_variants,
    decide,
    group_runs,
    list_differences,
    mcnemar,
)


def run(name: str, right: Any, cells: range = range(400), **params: Any) -> Run:
    """A run that is right on a cell as the list says; five cells a patient, half of them parasitized."""
    right = np.resize(np.asarray(right, bool), len(cells))
    label = np.array([cell % 2 for cell in cells])
    table = pd.DataFrame({"name": [f"cell{cell}" for cell in cells], "patient": [f"C{cell // 5}" for cell in cells]})
    probability = np.where(right == (label == 1), 0.9, 0.1)
    return Run(name, params, table.assign(label=label, probability=probability, threshold=0.5))


def share(part: float) -> np.ndarray:
    """Right on that share of 100 cells, spread over them."""
    return np.random.default_rng(0).permutation(100) < 100 * part


BASE = run("base", share(0.90), **{"train.augment": "none", "split.fold": 0})
BETTER = run("better", share(0.97), **{"train.augment": "full", "split.fold": 0})
SAME = run("same", share(0.91), **{"train.augment": "flips", "split.fold": 0})


def test_a_variant_right_where_the_first_is_and_more_is_better() -> None:
    table = compare_variants([[BASE], [BETTER], [SAME]]).set_index("variant")
    assert table.accuracy.tolist() == pytest.approx([0.90, 0.97, 0.91])
    assert table.difference.tolist()[1:] == pytest.approx([0.07, 0.01])
    assert table.verdict["better"] == "better"
    assert table.difference_low["better"] > 0
    assert table.mcnemar_p["better"] < 0.001
    back = compare_variants([[BETTER], [BASE]]).iloc[1]
    assert back.verdict == "worse"
    assert (back.difference_low, back.difference_high) == pytest.approx(
        (-table.difference_high["better"], -table.difference_low["better"])
    )


def test_a_gain_within_the_noise_of_patients_shows_no_difference() -> None:
    """Two cells more of 400, in two patients: McNemar's p and the interval agree."""
    right = np.ones(400, bool)
    right[::10] = False
    more = right.copy()
    more[[0, 100]] = True
    more[[1]] = False
    table = compare_variants([[run("one", right)], [run("two", more, a=1)]])
    assert table.verdict[1] == "no difference shown"
    assert table.mcnemar_p[1] == pytest.approx(1.0)  # two gained, one lost


def test_the_same_predictions_differ_by_nothing() -> None:
    row = compare_variants([[BASE], [Run("again", {"a": 1}, BASE.cells)]]).iloc[1]
    assert (row.difference, row.difference_low, row.difference_high, row.mcnemar_p) == (0, 0, 0, 1)
    assert row.verdict == "no difference shown"


def test_what_is_hard_for_both_cancels_out() -> None:
    """One patient in four all wrong on both sides: each accuracy is uncertain, the difference hardly."""
    hard = (np.arange(400) // 5) % 4 == 0
    right, more = ~hard, ~hard
    right[np.arange(400) % 20 == 7] = False
    row = compare_variants([[run("a", right)], [run("b", more, x=1)]]).iloc[1]
    assert row.difference_high - row.difference_low < 0.5 * (row.accuracy_high - row.accuracy_low)
    assert row.verdict == "better"


def test_mcnemar_is_that_of_the_discordant_pairs() -> None:
    """10 gained, 2 lost: the exact two-sided p is 2 * P(Binomial(12, 1/2) <= 2)."""
    one, two = np.ones(400, bool), np.ones(400, bool)
    one[:10] = False
    two[390:392] = False
    assert compare_pair(run("a", one).cells, run("b", two).cells)["mcnemar_p"] == pytest.approx(
        2 * (1 + 12 + 66) / 2**12
    )


def test_runs_that_differ_only_in_fold_and_seed_are_one_variant() -> None:
    runs = [
        run("a0", [1], **{"split.fold": 0, "train.seed": 0, "train.lr": 0.1}),
        run("b0", [1], **{"split.fold": 0, "train.seed": 0, "train.lr": 0.2}),
        run("a1", [1], **{"split.fold": 1, "train.seed": 5, "train.lr": 0.1}),
    ]
    assert [[each.name for each in group] for group in group_runs(runs)] == [["a0", "a1"], ["b0"]]
    assert list_differences(group_runs(runs)) == {"a0": {"train.lr": 0.1}, "b0": {"train.lr": 0.2}}


def test_the_same_params_twice_are_two_variants_since_the_code_may_have_changed() -> None:
    params = {"train.lr": 0.1, "train.seed": 0}
    runs = [run(f"{branch}{fold}", [1], **params, **{"split.fold": fold}) for branch in "ab" for fold in (0, 1)]
    groups = group_runs(runs)
    assert [[each.name for each in group] for group in groups] == [["a0", "a1"], ["b0", "b1"]]
    assert "b0: the same params (b0, b1)" in explain(compare_variants(groups), groups)


def test_folds_are_pooled_and_their_spread_is_told() -> None:
    folds = [run("f0", [1, 1, 1, 0], range(200)), run("f1", [1], range(200, 400))]
    row = compare_variants([folds]).iloc[0]
    assert (row.runs, row.cells, row.accuracy) == (2, 400, 0.875)
    assert (row.accuracy_mean, row.accuracy_sd) == pytest.approx((0.875, 0.125 * 2**0.5))
    assert (row.sensitivity_mean, row.sensitivity_sd) == pytest.approx((0.75, 0.25 * 2**0.5))


def test_only_cells_that_both_tested_are_compared_and_each_counts_once() -> None:
    """Two seeds against one: the seeds' mean on the 200 cells that both have."""
    seeds = [run("s0", [1]), run("s1", [0])]
    row = compare_variants([seeds, [run("other", [1], range(200, 600), a=1)]]).iloc[1]
    assert (row.shared, row.difference) == (200, 0.5)
    assert row.mcnemar_p is None or np.isnan(row.mcnemar_p)


def test_each_run_is_called_at_its_own_threshold() -> None:
    strict = Run("strict", {"a": 1}, BASE.cells.assign(threshold=0.95))
    assert compare_variants([[BASE], [strict]]).sensitivity.tolist() == pytest.approx(
        [BASE.cells[BASE.cells.label == 1].probability.ge(0.5).mean(), 0]
    )


def test_without_a_common_cell_nothing_is_claimed_and_what_to_do_is_said() -> None:
    variants = [[BASE], [run("elsewhere", [1], range(1000, 1400), **{"split.fold": 1})]]
    table = compare_variants(variants)
    assert (table.shared[1], table.verdict[1]) == (0, "no test cell in common")
    assert "elsewhere shares no test cell with base: run both with the same split.by" in "\n".join(
        explain(table, variants)
    )
    shorten(table)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.02, "better"),
        (-0.02, -0.01, "worse"),
        (-0.01, 0.01, "no difference shown"),
        (0.0, 0.01, "no difference shown"),
        (np.nan, np.nan, "no difference shown"),
    ],
)
def test_the_verdict_is_that_of_the_interval(low: float, high: float, verdict: str) -> None:
    assert decide(low, high) == verdict


def test_a_single_patient_shows_nothing() -> None:
    one, two = run("one", [0, 1], range(5)), run("two", [1], range(5), a=1)
    row = compare_variants([[one], [two]]).iloc[1]
    assert row.difference > 0
    assert row.verdict == "no difference shown"


def test_the_table_is_printed_in_percent_and_points() -> None:
    variants = [[BASE], [BETTER]]
    table = compare_variants(variants)
    short = shorten(table)
    assert short["accuracy %"][0].startswith("90.00 [")
    assert short["difference, points"][1].startswith("+7.00 [+")
    assert (short.verdict[0], short.verdict[1]) == ("", "better")
    markdown = to_markdown(short).splitlines()
    assert markdown[0].startswith("| variant | runs | cells | accuracy % |")
    assert len({line.count("|") for line in markdown}) == 1
    tree = json.loads(json.dumps(to_tree(table, variants), allow_nan=False))
    assert tree[0]["difference"] is None
    assert tree[1]["params"] == {"train.augment": "full"}
    assert tree[1]["revisions"] == ["better"]


def test_mcnemar_takes_no_cell_twice() -> None:
    sides = pd.concat([BASE.cells.assign(side=0, share=0.5), BASE.cells.assign(side=1, share=1.0)])
    assert mcnemar(sides) is None
