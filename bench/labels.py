"""What limits accuracy here? `uv run python bench/labels.py DOUBTED.csv [--runs REV...]` writes docs/RESULTS.md.

Takes the test predictions of the five folds of the default (`bench/results.py folds` makes them), so that each cell is
tested once, by a model that has not seen its patient, and a list of the cells whose labels reviewers doubted, which is
not part of the project. Evaluates the predictions with NIH's labels, without the doubted cells, with their labels
flipped, and, as controls, without other cells. Then counts how far the list, the suspected label errors of confident
learning, which knows only labels and predictions, and the misclassified cells overlap.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.results import TABLES, to_markdown, write_down
from malaria.data.index import CLASSES
from malaria.evaluation.bootstrap import resample, with_intervals
from malaria.evaluation.compare import Run, read_run
from malaria.evaluation.metrics import Array, calibration_metrics, classification_metrics, ranking_metrics

RUNS = [f"folds-default-{fold}" for fold in TABLES["folds"].folds]  # as bench/results.py names them
SEED = 0  # of the cells left out at random

METRICS = {  # those of metrics.json: title, scale and format in the short form
    "accuracy": ("accuracy %", 100, ".2f"),
    "sensitivity": ("sensitivity %", 100, ".2f"),
    "specificity": ("specificity %", 100, ".2f"),
    "roc_auc": ("AUC", 1, ".4f"),
    "mcc": ("MCC", 1, ".4f"),
    "ece": ("ECE", 1, ".4f"),
}
COUNTS = {  # title and format in the short form
    "cells": ("cells", ".0f"),
    "doubted": ("doubted by reviewers", ".0f"),
    "suspected": ("suspected by confident learning", ".0f"),
    "both": ("doubted and suspected", ".0f"),
    "doubted_share": ("... of the doubted, %", ".1f"),
    "suspected_share": ("... of the suspected, %", ".1f"),
    "lift": ("... times as many as by chance", ".1f"),
    "misclassified": ("misclassified (false negatives; false positives)", ".0f"),
    "misclassified_both": ("... doubted and suspected", ".0f"),
    "misclassified_doubted": ("... doubted only", ".0f"),
    "misclassified_suspected": ("... suspected only", ".0f"),
    "misclassified_neither": ("... neither", ".0f"),
    "patients": ("patients", ".0f"),
    "half_cells": ("... who have half of the cells", ".0f"),
    "half_doubted": ("... half of the doubted", ".0f"),
    "half_suspected": ("... half of the suspected", ".0f"),
    "half_misclassified": ("... half of the misclassified", ".0f"),
}


def read_doubted(path: Path) -> pd.Series:
    """The label that NIH gives each doubted cell, by name."""
    table = pd.read_csv(path, dtype={"name": str}, keep_default_na=False)
    if missing := {"name", "label"} - set(table.columns):
        raise SystemExit(f"{path}: no column {' and '.join(sorted(missing))}")
    return table.drop_duplicates("name").set_index("name").label


def pool(runs: Sequence[Run], doubted: pd.Series) -> pd.DataFrame:
    """The test cells of all runs, with the columns suspected, margin, doubted and misclassified."""
    cells = pd.concat([find_suspected(run.cells) for run in runs], ignore_index=True)
    if twice := cells.name.duplicated().sum():
        raise SystemExit(f"{twice} cells are in test of several runs: give one run for each fold")
    listed = cells.name.map(doubted)
    if listed.isna().all():
        raise SystemExit("none of the doubted cells was tested: their names should be those of data/cells.csv")
    if differing := (listed.notna() & (listed != cells.label)).sum():
        raise SystemExit(f"{differing} doubted cells have another label in the list than in the runs")
    misclassified = (cells.probability >= cells.threshold) != (cells.label == 1)
    return cells.assign(doubted=listed.notna(), misclassified=misclassified)


def find_suspected(cells: pd.DataFrame) -> pd.DataFrame:
    """Confident learning on the cells that one model tested (Northcutt, Jiang and Chuang, JAIR 70, 2021).

    The threshold of a class is the mean probability of that class over the cells with that label. The confident joint
    counts a cell by its label and by the most probable of the classes whose probability reaches their threshold; a cell
    off its diagonal is a suspected label error. Adds the columns suspected and margin, the probability of the label
    minus that of the other class: the normalised margin, by which suspected cells are ranked, lowest first.
    """
    label, probability = cells.label.to_numpy(), cells.probability.to_numpy()
    of_label = np.where(label == 1, probability, 1 - probability)
    of_other = 1 - of_label
    means = pd.Series(of_label).groupby(label).mean()
    thresholds = means.reindex(range(len(CLASSES))).to_numpy()  # NaN, which nothing reaches, of a class without cells
    label_wins = (of_label >= thresholds[label]) & (of_label >= of_other)
    suspected = (of_other >= thresholds[1 - label]) & ~label_wins
    return cells.assign(suspected=suspected, margin=of_label - of_other)


def choose_labels(cells: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The cells and labels to evaluate on, by what the table calls them."""
    ranked = cells.sort_values(["suspected", "margin", "name"], ascending=[False, True, True])
    drawn = [of.sample(int(of.doubted.sum()), random_state=SEED) for _, of in cells.groupby("label")]
    return {
        "all cells, NIH's labels": cells,
        "without the doubted cells": cells[~cells.doubted],
        "the doubted cells' labels flipped": cells.assign(label=cells.label.where(~cells.doubted, 1 - cells.label)),
        "without the suspected cells": cells[~cells.suspected],
        "without as many of lowest margin, suspected first": cells.drop(ranked.index[: cells.doubted.sum()]),
        "without as many of each class at random": cells.drop(pd.concat(drawn).index),
    }


def evaluate(cells: pd.DataFrame) -> dict[str, float]:
    """METRICS with their intervals over patients."""
    values = compute_metrics(cells).iloc[0]
    return with_intervals(values, resample(cells, lambda weights: compute_metrics(cells, weights)))


def compute_metrics(cells: pd.DataFrame, weights: Array | None = None) -> pd.DataFrame:
    """METRICS, each cell classified at the threshold of the model that tested it."""
    calls = classification_metrics(cells, cells.threshold.to_numpy(), weights)
    return pd.concat([calls, ranking_metrics(cells, weights), calibration_metrics(cells, weights)], axis=1)[[*METRICS]]


def measure_labels(cells: pd.DataFrame) -> pd.DataFrame:
    """A row for each choice of labels: evaluated_on, cells, and METRICS with _low and _high."""
    chosen = choose_labels(cells)
    columns = {"evaluated_on": chosen.keys(), "cells": [len(of) for of in chosen.values()]}
    return pd.DataFrame(columns).join(pd.DataFrame([evaluate(of) for of in chosen.values()]))


def count_label_errors(cells: pd.DataFrame) -> pd.DataFrame:
    """The COUNTS of each class, whose misclassified cells are false negatives or false positives, and of all cells."""
    parts = {name: cells[cells.label == label] for label, name in reversed(list(enumerate(CLASSES)))} | {"all": cells}
    rows = [count_overlap(of) | count_misclassified(of) | count_patients(of) for of in parts.values()]
    return pd.DataFrame({"labelled": parts.keys()}).join(pd.DataFrame(rows))


def count_overlap(cells: pd.DataFrame) -> dict[str, float]:
    """How many cells are doubted, suspected and both; NaN for a share of none.

    lift is the number of cells that are both, divided by that to expect if the two lists were independent.
    """
    doubted, suspected = cells.doubted, cells.suspected
    return {
        "cells": len(cells),
        "doubted": doubted.sum(),
        "suspected": suspected.sum(),
        "both": (doubted & suspected).sum(),
        "doubted_share": 100 * suspected[doubted].mean(),
        "suspected_share": 100 * doubted[suspected].mean(),
        "lift": suspected[doubted].mean() / (suspected.mean() or np.nan),
    }


def count_misclassified(cells: pd.DataFrame) -> dict[str, float]:
    """How many cells are misclassified, and how many of these are doubted, suspected, both and neither."""
    wrong = cells[cells.misclassified]
    return {
        "misclassified": len(wrong),
        "misclassified_both": (wrong.doubted & wrong.suspected).sum(),
        "misclassified_doubted": (wrong.doubted & ~wrong.suspected).sum(),
        "misclassified_suspected": (~wrong.doubted & wrong.suspected).sum(),
        "misclassified_neither": (~wrong.doubted & ~wrong.suspected).sum(),
    }


def count_patients(cells: pd.DataFrame) -> dict[str, float]:
    """How many patients there are, and how few have half of all cells, and of those of each kind."""
    kinds = {"cells": cells} | {kind: cells[cells[kind]] for kind in ("doubted", "suspected", "misclassified")}
    halves: dict[str, float] = {f"half_{kind}": count_half(of.patient) for kind, of in kinds.items()}
    return {"patients": cells.patient.nunique()} | halves


def count_half(patients: pd.Series) -> int:
    """The smallest number of patients who have at least half of some cells, given the patient of each cell."""
    before = patients.value_counts().cumsum().shift(fill_value=0)  # how many those with more cells have
    return int((before < len(patients) / 2).sum())


def render_labels(table: pd.DataFrame) -> str:
    """The short form in Markdown: a row for each choice of labels, metrics with their intervals."""
    short = pd.DataFrame({"evaluated on": table.evaluated_on, "cells": table.cells})
    for name, (title, scale, spec) in METRICS.items():
        bounds = zip(*(scale * table[f"{name}{end}"] for end in ("", "_low", "_high")), strict=True)
        short[title] = [f"{value:{spec}} [{low:{spec}}, {high:{spec}}]" for value, low, high in bounds]
    return to_markdown(short)


def render_label_errors(table: pd.DataFrame) -> str:
    """The short form in Markdown: a row a count, a column a class."""
    rows = []
    for name, (title, spec) in COUNTS.items():
        values = ["" if pd.isna(value) else f"{value:{spec}}" for value in table[name]]
        rows.append([title, *values])
    return to_markdown(pd.DataFrame(rows, columns=["labelled", *table.labelled]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("doubted", type=Path, metavar="DOUBTED.csv", help="the doubted cells: name,label")
    parser.add_argument("--runs", nargs="+", default=RUNS, metavar="REV", help=f"default: {RUNS[0]} to {RUNS[-1]}")
    options = parser.parse_args()
    doubted = read_doubted(options.doubted)
    cells = pool([read_run(name) for name in options.runs], doubted)
    print(f"{cells.doubted.sum()} of the {len(doubted)} doubted cells are among the {len(cells)} tested", flush=True)
    write_down("labels", measure_labels(cells), render_labels)
    write_down("label-errors", count_label_errors(cells), render_label_errors)


if __name__ == "__main__":
    main()
