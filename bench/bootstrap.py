"""How long do intervals over patients take? `uv run python bench/bootstrap.py`

The resamples of the test fold in data/predictions.csv, every figure of each: vectorised, as the pipeline has them, and
for a few as a reader would write it, a loop over resamples with scikit-learn's functions. Prints the ratio a resample.
"""

import time

import numpy as np
import pandas as pd
from sklearn import metrics

from malaria.evaluation.bootstrap import RESAMPLES, SEED, resample
from malaria.evaluation.metrics import judge

LOOPED = 50  # resamples of the loop, alternating with as many vectorised ones


def loop(cells: pd.DataFrame, resamples: int) -> None:
    """A resample at a time: gather the cells of the patients drawn, then ask scikit-learn."""
    random, groups = np.random.default_rng(SEED), [group for _, group in cells.groupby("patient")]
    for _ in range(resamples):
        drawn = pd.concat([groups[n] for n in random.integers(0, len(groups), len(groups))])
        called = drawn.probability >= 0.5
        for figure in (metrics.accuracy_score, metrics.precision_score, metrics.f1_score, metrics.matthews_corrcoef):
            figure(drawn.label, called)
        for figure in (metrics.roc_auc_score, metrics.average_precision_score, metrics.brier_score_loss):
            figure(drawn.label, drawn.probability)


def seconds(cells: pd.DataFrame, resamples: int, looped: bool) -> float:
    began = time.perf_counter()
    loop(cells, resamples) if looped else resample(cells, lambda weights: judge(cells, 0.5, weights), resamples)
    return time.perf_counter() - began


def main() -> None:
    predictions = pd.read_csv("data/predictions.csv")
    cells = predictions[predictions.split == "test"]
    whole = [seconds(cells, RESAMPLES, looped=False) for _ in range(3)]
    print(f"{len(cells)} cells of {cells.patient.nunique()} patients, {RESAMPLES} resamples: {min(whole):.1f} s")
    looped = min(seconds(cells, LOOPED, looped=True) for _ in range(3)) / LOOPED
    vectorised = min(whole) / RESAMPLES
    print(f"a resample: {1e3 * looped:.2f} ms looped, {1e3 * vectorised:.2f} ms vectorised")
    print(f"ratio: {looped / vectorised:.1f}")


if __name__ == "__main__":
    main()
