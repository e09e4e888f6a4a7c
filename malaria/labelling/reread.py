"""Suspected label errors of test, read again blind among other cells: which labels change, and the accuracy then."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd

from malaria.core.artifacts import write_csv
from malaria.core.errors import UserError
from malaria.data.index import CLASSES
from malaria.evaluation.bootstrap import RESAMPLES, interval
from malaria.evaluation.metrics import Array, ratio
from malaria.labelling.proportion import Proportion, measure_proportion


@dataclass(frozen=True)
class Reread:
    """What the answers so far say; cells that were set aside have no label, and are in none but `set_aside`.

    accuracy is that of test on its labels as they are. With the reader's labels it is reread_accuracy, with its 95 %
    interval from low to high; NaN while there is no answer of suspected cells, or none of the others.
    """

    suspected: Proportion  # suspected label errors whose label the reader would change
    others: Proportion  # other cells whose label the reader would change
    set_aside: int
    accuracy: float
    reread_accuracy: float
    low: float
    high: float


def draw(predictions: pd.DataFrame, suspected: Collection[str], seed: int) -> pd.DataFrame:
    """All suspected cells of test and as many others of it, at random and mixed: name, label (0 or 1) and suspected.

    Args:
        predictions: a table of predictions.csv.
        suspected: names of suspected label errors, as in plots/label_errors.csv; those of other splits do not count.
        seed: the same seed draws the same cells in the same order.

    Raises:
        UserError: no suspected cell is in test.
    """
    test = _test_cells(predictions, suspected)
    errors, others = test[test.suspected], test[~test.suspected]
    if errors.empty:
        raise UserError(
            f"None of {len(suspected):,} suspected label errors is among the {len(test):,} test cells of "
            "data/predictions.csv, so there is nothing to read again. Take plots/label_errors.csv of the same run"
        )
    sample = others.sample(min(len(errors), len(others)), random_state=seed)
    mixed = pd.concat([errors, sample]).sample(frac=1, random_state=seed)
    return mixed[["name", "label", "suspected"]].reset_index(drop=True)


def _test_cells(predictions: pd.DataFrame, suspected: Collection[str]) -> pd.DataFrame:
    test = predictions[predictions.split == "test"]
    return test.assign(suspected=test.name.isin(suspected))


def summarise(drawn: pd.DataFrame, answers: Mapping[str, str], predictions: pd.DataFrame, threshold: float) -> Reread:
    """Evaluate the answers so far, by name, to the cells that `draw` drew from the predictions.

    reread_accuracy is a stratified estimate: an answered cell stands for the cells of test, suspected or others, by
    their number divided by the number of answers among them. What is estimated is how the answers change the accuracy,
    which is known on the labels as they are. Its interval is by a bootstrap of the answered cells within the suspected
    ones and within the others. It takes cells as independent, and is too narrow if the reader changed no label of the
    others: the interval of `others` shows what share of them may have to be changed all the same.
    """
    test = _test_cells(predictions, drawn.name[drawn.suspected].tolist())
    test["positive"] = test.probability >= threshold
    test["right"] = test.positive == (test.label == 1)
    answered = test[test.name.isin(drawn.name) & test.name.isin(answers)]
    cells = answered.assign(answer=answered.name.map(answers).map({name: n for n, name in enumerate(CLASSES)}))
    kept = cells[cells.answer.notna()]
    changed = kept.answer != kept.label
    suspected, others = (_share(changed[kept.suspected == which]) for which in (True, False))
    accuracy = float(test.right.mean())
    return Reread(suspected, others, len(cells) - len(kept), accuracy, *_estimate(test, cells))


def _share(changed: pd.Series) -> Proportion:
    return measure_proportion(int(changed.sum()), len(changed))


def _estimate(test: pd.DataFrame, cells: pd.DataFrame) -> tuple[float, float, float]:
    """The accuracy on the answers, and its interval."""
    strata = [(cells[cells.suspected == which], size) for which, size in test.suspected.value_counts().items()]
    if any(answered.empty for answered, _ in strata):
        return nan, nan, nan
    sizes = [size / len(answered) for answered, size in strata]  # cells for which an answered one stands
    random, ordered = np.random.default_rng(0), pd.concat([answered for answered, _ in strata])
    draws = [_resample(len(answered), random) * size for (answered, _), size in zip(strata, sizes, strict=True)]
    once = np.repeat(sizes, [len(answered) for answered, _ in strata])[None]
    value, resampled = (_accuracy(test, ordered, weights) for weights in (once, np.concatenate(draws, axis=1)))
    return float(value[0]), *interval(pd.Series(resampled))


def _resample(n: int, random: np.random.Generator) -> Array:
    """How often each of n cells is in each resample: (RESAMPLES, n)."""
    return random.multinomial(n, np.full(n, 1 / n), RESAMPLES)


def _accuracy(test: pd.DataFrame, cells: pd.DataFrame, weights: Array) -> Array:
    """(R,) of R sets of weights (R, n) of the answered cells; those set aside are left out."""
    change = (cells.positive == cells.answer).to_numpy(float) - cells.right.to_numpy(float)
    right = test.right.sum() + weights @ change
    return np.clip(ratio(right, weights @ cells.answer.notna().to_numpy(float)), 0, 1)


def write_corrections(path: Path, drawn: pd.DataFrame, answers: Mapping[str, str]) -> None:
    """Write name,label of the drawn cells that were answered: Parasitized, Uninfected, or why they were set aside."""
    answered = drawn[drawn.name.isin(answers)]
    write_csv(path, pd.DataFrame({"name": answered.name, "label": answered.name.map(answers)}))
