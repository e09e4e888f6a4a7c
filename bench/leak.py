"""How much does the split by cell flatter? `uv run python bench/leak.py [FOLD...]`

Runs the pipeline as params.yaml has it on the folds named, or on all, once split by patient and once by cell, as the
experiments leak-patient-0, leak-cell-0 and so on, and compares what it says of the test cells. The gap's interval is
from a bootstrap over patients, in which a patient's cells weigh the same on both sides; over all folds each cell is
tested once on either side. Stages that have run before come from the cache: both ways take twice as long as the folds.
"""

import subprocess
import sys

import dvc.api
import numpy as np
import pandas as pd

from malaria.bootstrap import interval, resample
from malaria.metrics import Array, judge
from malaria.params import load_params

SHOWN = ("accuracy", "sensitivity", "specificity", "roc_auc", "pr_auc", "brier")


def run(by: str, fold: int) -> pd.DataFrame:
    """What the pipeline, split that way, says of the test cells of a fold."""
    name = f"leak-{by}-{fold}"
    subprocess.run(["dvc", "exp", "remove", "-q", name], stderr=subprocess.DEVNULL)  # of an earlier run
    params = f"-S split.by={by} -S split.fold={fold}".split()
    done = subprocess.run(["dvc", "exp", "run", "--temp", "-n", name, *params, "evaluate"], stdout=sys.stderr)
    if done.returncode:
        raise SystemExit(f"{name} failed, see above; files that Git does not know are not part of it: git add them")
    with dvc.api.open("data/predictions.csv", rev=name) as file:
        predictions = pd.read_csv(file)
    return predictions[predictions.split == "test"].assign(side=by)


def judge_sides(cells: pd.DataFrame, weights: Array) -> pd.DataFrame:
    """The figures of both sides, in columns patient_accuracy, cell_accuracy and gap_accuracy, and so on."""
    sides = {}
    for side in ("patient", "cell"):
        rows = (cells.side == side).to_numpy()
        sides[side] = judge(cells[rows], 0.5, weights[:, rows])[list(SHOWN)]
    sides["gap"] = sides["cell"] - sides["patient"]
    return pd.concat([table.add_prefix(f"{side}_") for side, table in sides.items()], axis=1)


def show(figures: dict[str, float], resampled: pd.DataFrame) -> str:
    """A line a figure: by patient, by cell, and the gap, each with its interval."""
    lines = [f"{'':<13}" + "".join(f"{head:<30}" for head in ("by patient", "by cell", "gap: by cell less by patient"))]
    for name in SHOWN:
        cells = []
        for side in ("patient", "cell", "gap"):
            low, high = interval(resampled[f"{side}_{name}"])
            value = figures[f"{side}_{name}"]
            sign = "+" if side == "gap" else ""
            cells.append(f"{value:{sign}.4f} [{low:{sign}.4f}, {high:{sign}.4f}]")
        lines.append(f"{name:<13}" + "".join(f"{cell:<30}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    folds = [int(fold) for fold in sys.argv[1:]] or range(load_params().split.folds)
    cells = pd.concat([run(by, fold) for fold in folds for by in ("patient", "cell")], ignore_index=True)
    resampled = resample(cells, lambda weights: judge_sides(cells, weights))
    figures = judge_sides(cells, np.ones((1, len(cells)))).iloc[0].to_dict()
    counts = {side: (cells.side == side).sum() for side in ("patient", "cell")}
    print(f"folds {', '.join(map(str, folds))}: {counts['patient']} cells tested by patient, {counts['cell']} by cell")
    print("probability from 0.5 on; [95 % interval over patients]")
    print(show(figures, resampled))


if __name__ == "__main__":
    main()
