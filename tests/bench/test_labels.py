"""Confident learning, its overlap with the doubted cells, and metrics without these or with their labels flipped."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import labels, results
from bench.labels import (
    choose_labels,
    compute_metrics,
    count_half,
    count_label_errors,
    evaluate,
    find_suspected,
    pool,
    read_doubted,
)
from malaria.evaluation.compare import Run
from tests.support.tables import table


def make_run(given: list[int], probabilities: list[float], patients: str | None = None, name: str = "run") -> Run:
    """Test cells with the labels given and the names NAME-0, NAME-1 ..."""
    cells = table(given, probabilities, patients)
    return Run(name, {}, cells.assign(name=[f"{name}-{n}" for n in range(len(cells))], threshold=0.5))


def suspected(given: list[int], probabilities: list[float]) -> list[int]:
    """The numbers of the suspected cells."""
    found = find_suspected(make_run(given, probabilities).cells)
    return np.flatnonzero(found.suspected).tolist()


def test_labels_that_were_flipped_are_suspected_and_no_others() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 400)
    probabilities = np.where(truth == 1, random.uniform(0.8, 1, 400), random.uniform(0, 0.2, 400))
    flipped = [3, 50, 51, 200, 399]
    probabilities[flipped] = np.where(truth[flipped] == 1, 0.99, 0.01)
    given = truth.copy()
    given[flipped] = 1 - truth[flipped]
    assert suspected(given.tolist(), probabilities.tolist()) == flipped


def test_each_class_has_a_threshold_of_its_own() -> None:
    """A model that is sure of uninfected cells alone: 0.7 is much for parasitized, 0.3 not little for uninfected."""
    sure, unsure = [0.02] * 20, [0.65] * 20
    assert suspected([0] * 20 + [1] * 20 + [0, 1], [*sure, *unsure, 0.7, 0.3]) == [40]


def test_a_cell_counts_as_the_class_that_alone_reaches_its_threshold() -> None:
    assert suspected([0] * 20 + [1] * 20 + [0], [0.02] * 20 + [0.3] * 20 + [0.4]) == [40]


def test_of_two_classes_that_reach_their_thresholds_the_more_probable_counts() -> None:
    assert suspected([0, 0, 1, 1], [0.55, 0.65, 0.35, 0.45]) == [0, 1, 2, 3]
    assert suspected([0, 0, 0, 1, 1, 1], [0.45, 0.65, 0.7, 0.3, 0.35, 0.55]) == [1, 2, 3, 4]


def test_without_cells_of_the_other_class_none_is_suspected() -> None:
    assert suspected([0, 0, 0], [0.1, 0.2, 0.9]) == []


def test_thresholds_are_those_of_the_fold_that_tested_a_cell() -> None:
    given = [0] * 10 + [1] * 10 + [0]
    sure = make_run(given, [0.1] * 10 + [0.9] * 10 + [0.7], name="sure")
    unsure = make_run(given, [0.1] * 10 + [0.6] * 10 + [0.7], name="unsure")
    cells = pool([sure, unsure], pd.Series({"sure-20": 0}))
    assert cells.name[cells.suspected].tolist() == ["unsure-20"]


@pytest.fixture
def cells() -> pd.DataFrame:
    """Of the parasitized cells 4 and 5 are false negatives, of the uninfected 14 a false positive.

    Suspected are 4 and 14, doubted 4, 5 and 13.
    """
    given = [1] * 6 + [0] * 9
    probabilities = [0.9, 0.9, 0.9, 0.9, 0.05, 0.4] + [0.1] * 8 + [0.95]
    run = make_run(given, probabilities, "AABBCCAAABBBCCC")
    return pool([run], pd.Series({"run-4": 1, "run-5": 1, "run-13": 0}))


def test_overlap_is_counted_by_class(cells: pd.DataFrame) -> None:
    counts = count_label_errors(cells).set_index("labelled")
    assert counts.cells.tolist() == [6, 9, 15]
    assert counts.doubted.tolist() == [2, 1, 3]
    assert counts.suspected.tolist() == [1, 1, 2]
    assert counts.both.tolist() == [1, 0, 1]
    assert counts.doubted_share.to_numpy() == pytest.approx([50, 0, 100 / 3])
    assert counts.suspected_share.tolist() == [100, 0, 50]
    assert counts.lift.to_numpy() == pytest.approx([6 / 2, 0, 15 / 6])


def test_misclassified_cells_are_counted_once_each(cells: pd.DataFrame) -> None:
    counts = count_label_errors(cells).set_index("labelled")
    kinds = counts[[f"misclassified_{kind}" for kind in ("both", "doubted", "suspected", "neither")]]
    assert kinds.to_numpy().tolist() == [[1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 0]]
    assert (kinds.sum(axis=1) == counts.misclassified).all()


def test_patients_are_counted_by_class(cells: pd.DataFrame) -> None:
    counts = count_label_errors(cells).set_index("labelled")
    assert counts.patients.tolist() == [3, 3, 3]
    assert counts.half_cells.tolist() == [2, 2, 2]
    assert counts.half_doubted.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("patients", "number"), [("", 0), ("A", 1), ("AABC", 1), ("ABC", 2), ("ABBCDDD", 2)])
def test_the_patients_with_most_cells_have_half_of_them(patients: str, number: int) -> None:
    assert count_half(pd.Series(list(patients), dtype=object)) == number


def test_a_share_of_no_cells_is_undefined(cells: pd.DataFrame) -> None:
    counts = labels.count_overlap(cells.assign(doubted=False))
    assert np.isnan([counts["doubted_share"], counts["lift"]]).all()


def test_metrics_follow_from_the_cells_and_labels_chosen(cells: pd.DataFrame) -> None:
    tables = choose_labels(cells)
    assert [len(chosen) for chosen in tables.values()] == [15, 12, 15, 13, 12, 12]
    accuracy = [compute_metrics(chosen).accuracy[0] for chosen in list(tables.values())[:5]]
    # flipped: 4 and 5 become correct, 13 wrong; of lowest margin: 4 and 14, which are suspected, then 5
    assert accuracy == pytest.approx([12 / 15, 11 / 12, 13 / 15, 12 / 13, 1])


def test_the_random_cells_are_as_many_of_each_class_as_are_doubted(cells: pd.DataFrame) -> None:
    rest = list(choose_labels(cells).values())[-1]
    assert rest.label.value_counts().to_dict() == {1: 4, 0: 8}
    assert list(choose_labels(cells).values())[-1].equals(rest)


def test_cells_are_classified_at_the_threshold_of_their_run() -> None:
    runs = [make_run([1, 0], [0.6, 0.4], name=name) for name in "ab"]
    runs[1].cells["threshold"] = 0.7
    cells = pool(runs, pd.Series({"a-0": 1}))
    assert cells.misclassified.tolist() == [False, False, True, False]
    assert compute_metrics(cells).sensitivity[0] == 0.5


def test_metrics_have_intervals_over_patients(cells: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("malaria.evaluation.bootstrap.FEWEST", 2)
    metrics = evaluate(cells)
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]


def test_runs_and_lists_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    run, listed = make_run([1, 0], [0.9, 0.1]), pd.Series({"run-0": 1})
    with pytest.raises(SystemExit, match="2 cells"):
        pool([run, run], listed)
    with pytest.raises(SystemExit, match="another label"):
        pool([run], 1 - listed)
    with pytest.raises(SystemExit, match="none of the doubted"):
        pool([run], listed.rename({"run-0": "elsewhere"}))
    (path := tmp_path / "list.csv").write_text("cell,label\na,1\n")
    with pytest.raises(SystemExit, match="name"):
        read_doubted(path)


def test_both_tables_are_written(cells: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run in a folder, as that of an adapted model."""
    page = tmp_path / "page.md"
    page.write_text("<!-- labels -->\n<!-- end -->\n<!-- label-errors -->\n<!-- end -->\n")
    monkeypatch.setattr(results, "PAGE", page)
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    cells.assign(split="test").to_csv(tmp_path / "predictions.csv", index=False)
    (tmp_path / "model.json").write_text('{"threshold": 0.5}')
    cells[cells.doubted].to_csv(tmp_path / "doubted.csv", index=False)
    monkeypatch.setattr(sys, "argv", ["labels.py", str(tmp_path / "doubted.csv"), "--runs", str(tmp_path)])
    labels.main()
    for title, render in (("labels", labels.render_labels), ("label-errors", labels.render_label_errors)):
        short = render(results.read_table(tmp_path / f"{title}.csv"))
        assert results.publish(title, short, page.read_text()) == page.read_text()
    rows = pd.read_csv(tmp_path / "labels.csv").set_index("evaluated_on").cells
    assert rows.to_dict() == {name: len(chosen) for name, chosen in choose_labels(cells).items()}
    assert pd.read_csv(tmp_path / "label-errors.csv").both.tolist() == [1, 0, 1]
