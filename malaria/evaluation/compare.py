"""Is one variant better than another? A paired comparison on the same cells, by a bootstrap over patients.

A run is one training with its predictions of test. Runs whose params differ only in the fold or the seed are one
variant. Two variants are compared on the test cells that both have, by the difference of a metric and its interval:
each resample of patients is used for both, so that what is hard for both cancels out.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from malaria.core.errors import UserError
from malaria.core.repository import read_artifact, read_params
from malaria.evaluation.bootstrap import resample, with_intervals
from malaria.evaluation.metrics import Array, classification_metrics, ranking_metrics

SHOWN = ["accuracy", "sensitivity", "specificity", "roc_auc"]
DIFFERENCES = [f"{name}{end}" for name in ("difference", "auc_difference") for end in ("", "_low", "_high")]
DIFFERENCES += ["shared", "mcnemar_p", "verdict"]
COLUMNS = ["name", "patient", "label", "split", "probability"]  # of predictions.csv
REPEATS = ("split.fold", "train.seed")  # what runs of one variant may differ in


@dataclass(frozen=True)
class Run:
    """A name, params by dotted key, and the test cells: name, patient, label, probability and threshold."""

    name: str
    params: dict[str, Any]
    cells: pd.DataFrame


def read_run(revision: str) -> Run:
    """The params and test predictions of a revision, or of the folder of an adapted model, which has no params.

    Raises:
        UserError: there is no such revision, its files cannot be reached, or they are of another version.
    """
    table, card, params = _read_folder(Path(revision)) if Path(revision).is_dir() else _read_revision(revision)
    try:
        predictions = pd.read_csv(io.BytesIO(table), dtype={"patient": str})[COLUMNS]
        test = predictions[predictions.split == "test"].assign(threshold=json.loads(card)["threshold"])
    except (ValueError, KeyError) as error:
        raise UserError(f"{revision}: its predictions are of another version of this pipeline ({error})") from None
    return Run(revision, params, test)


def _read_revision(revision: str) -> tuple[bytes, bytes, dict[str, Any]]:
    """Predictions, model card and params."""
    names = "data/predictions.csv", "models/model.json"
    predictions, card = (read_artifact(revision, name) for name in names)
    return predictions, card, read_params(revision)


def _read_folder(folder: Path) -> tuple[bytes, bytes, dict[str, Any]]:
    """The same of a folder that `malaria adapt` wrote."""
    try:
        return (folder / "predictions.csv").read_bytes(), (folder / "model.json").read_bytes(), {}
    except OSError as error:
        raise UserError(
            f"{error.filename}: {error.strerror}; only adapted models have predictions beside them"
        ) from None


def group_runs(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs by variant, in the order in which they come.

    A second run of the same params, fold and seed is another variant: something else, such as the code, has changed.
    """
    groups: list[list[Run]] = []
    for run in runs:
        fitting = (group for group in groups if all(_repeats(run, other) for other in group))
        group = next(fitting, None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    return groups


def _repeats(run: Run, other: Run) -> bool:
    """Whether all that two runs differ in is the fold or the seed, and they do."""
    differing = {key for key in run.params.keys() | other.params.keys() if run.params.get(key) != other.params.get(key)}
    return bool(differing) and differing <= set(REPEATS)


def compare_variants(variants: Sequence[Sequence[Run]]) -> pd.DataFrame:
    """A row a variant: its metrics with intervals, pooled over its runs, and how it differs from the first.

    The columns are variant (its first run), runs, cells, the SHOWN metrics with _low and _high, and with _mean and _sd
    over the runs, and for all but the first difference (of accuracy) with _low and _high, auc_difference
    likewise, shared (cells that both tested), mcnemar_p and verdict. NaN or None where it is undefined.
    """
    first = _pool(variants[0])
    rows = []
    for number, runs in enumerate(variants):
        pooled = _pool(runs)
        each = pd.concat([_evaluate(run.cells) for run in runs])
        row = {"variant": runs[0].name, "runs": len(runs), "cells": len(pooled)}
        row |= evaluate_variant(pooled)
        spread = [each.mean().add_suffix("_mean"), each.std().add_suffix("_sd")]
        row |= {str(name): value for name, value in pd.concat(spread).items()}
        rows.append(row | (compare_pair(first, pooled) if number else {}))
    return pd.DataFrame(rows, columns=[*rows[0], *DIFFERENCES])


def evaluate_variant(cells: pd.DataFrame) -> dict[str, float]:
    """The SHOWN metrics of all cells that a variant tested, with intervals."""
    return with_intervals(_evaluate(cells).iloc[0], resample(cells, lambda weights: _evaluate(cells, weights)))


def compare_pair(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, Any]:
    """How the second differs from the first on the cells that both have; only `shared` if there are none."""
    shared = set(first.name) & set(second.name)
    if not shared:
        return {"shared": 0, "verdict": "no test cell in common"}
    sides = pd.concat([side[side.name.isin(shared)].assign(side=n) for n, side in enumerate((first, second))])
    sides["share"] = 1 / sides.groupby(["side", "name"]).label.transform("size")  # a cell tested by n runs counts once
    difference = _differ(sides, np.ones((1, len(sides)))).iloc[0]
    bounds = with_intervals(difference, resample(sides, lambda weights: _differ(sides, weights)))
    return bounds | {
        "shared": len(shared),
        "mcnemar_p": mcnemar(sides),
        "verdict": decide(bounds["difference_low"], bounds["difference_high"]),
    }


def decide(low: float, high: float) -> str:
    """The verdict on an interval of a difference: one that contains 0, or is undefined, shows no difference."""
    return "better" if low > 0 else "worse" if high < 0 else "no difference shown"


def mcnemar(sides: pd.DataFrame) -> float | None:
    """The exact p of McNemar's test; None where a side tested a cell more than once.

    It assumes independent cells, which those of a patient are not, so its p is too small.
    """
    if (sides.share < 1).any():
        return None
    right = sides.assign(right=(sides.probability >= sides.threshold) == (sides.label == 1))
    table = right.pivot(index="name", columns="side", values="right")
    gained, lost = int((table[1] & ~table[0]).sum()), int((table[0] & ~table[1]).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def list_differences(variants: Sequence[Sequence[Run]]) -> dict[str, dict[str, Any]]:
    """By the name of each variant's first run, the params that are not the same for all variants."""
    params = {runs[0].name: runs[0].params for runs in variants}
    keys = sorted({key for each in params.values() for key in each} - set(REPEATS))
    differing = [key for key in keys if len({repr(each.get(key)) for each in params.values()}) > 1]
    return {name: {key: each.get(key) for key in differing} for name, each in params.items()}


def _pool(runs: Sequence[Run]) -> pd.DataFrame:
    """The cells of all runs."""
    return pd.concat([run.cells for run in runs], ignore_index=True)


def _evaluate(cells: pd.DataFrame, weights: Array | None = None) -> pd.DataFrame:
    """The SHOWN metrics, each cell classified at its own threshold."""
    calls = classification_metrics(cells, cells.threshold.to_numpy(), weights)
    return pd.concat([calls, ranking_metrics(cells, weights)], axis=1)[SHOWN]


def _differ(sides: pd.DataFrame, weights: Array) -> pd.DataFrame:
    """Accuracy (difference) and ROC AUC (auc_difference) of side 1 less those of side 0."""
    share = sides.share.to_numpy()
    metrics = []
    for side in (0, 1):
        rows = (sides.side == side).to_numpy()
        metrics.append(_evaluate(sides[rows], weights[:, rows] * share[rows]))
    less = metrics[1] - metrics[0]
    return pd.DataFrame({"difference": less.accuracy, "auc_difference": less.roc_auc})
