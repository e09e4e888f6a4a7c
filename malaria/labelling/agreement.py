"""How far two readers agree on the cells that both labelled."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import pandas as pd

from malaria.data.index import CLASSES
from malaria.evaluation.metrics import Array
from malaria.labelling.labels import Row
from malaria.labelling.proportion import Z

CATEGORIES = [*CLASSES, "set aside"]


@dataclass(frozen=True)
class Agreement:
    """Agreement over CATEGORIES; a cell that a reader could not label, for whatever reason, is set aside.

    kappa is NaN where it is undefined: without cells, or where both readers gave all cells the same category. low and
    high, its 95 % interval, are also NaN where the readers agree on all cells, since the standard error is then 0.
    """

    cells: int  # that both labelled
    observed: float  # share of them with the same category
    kappa: float
    low: float
    high: float
    disagreements: pd.DataFrame  # image, first, second: the labels as given, in the order of the first reader


def compare_readers(first: Mapping[str, Row], second: Mapping[str, Row]) -> Agreement:
    """Compare the labels of two readers, as `LabelFile.labels` gives them."""
    rows = [(image, row.label, second[image].label) for image, row in first.items() if image in second]
    table = pd.DataFrame(rows, columns=["image", "first", "second"])
    one, other = (table[reader].map(_category).to_numpy(int) for reader in ("first", "second"))
    counts = np.zeros((len(CATEGORIES), len(CATEGORIES)))
    np.add.at(counts, (one, other), 1)
    observed = float((one == other).mean()) if rows else nan
    disagreements = table[one != other].reset_index(drop=True)
    return Agreement(len(rows), observed, *cohen_kappa(counts), disagreements)


def _category(label: str) -> int:
    return CLASSES.index(label) if label in CLASSES else len(CLASSES)


def cohen_kappa(counts: Array) -> tuple[float, float, float]:
    """Cohen's kappa with its 95 % interval, from the counts (K, K) of the first reader's and the second's categories.

    Kappa is of Cohen (1960, doi:10.1177/001316446002000104), its standard error for large samples, which takes cells as
    independent, of Fleiss, Cohen and Everitt (Psychological Bulletin 72:323, 1969, doi:10.1037/h0028106). NaN where
    they are undefined.
    """
    n = counts.sum()
    p = counts / max(n, 1)
    rows, columns = p.sum(1), p.sum(0)
    observed, expected = np.trace(p), rows @ columns
    if n == 0 or np.isclose(expected, 1):
        return nan, nan, nan
    kappa = float((observed - expected) / (1 - expected))
    if np.isclose(observed, 1):
        return kappa, nan, nan
    margin = Z * _standard_error(p, float(observed), float(expected), float(n))
    return kappa, max(kappa - margin, -1), min(kappa + margin, 1)


def _standard_error(p: Array, observed: float, expected: float, n: float) -> float:
    """Equation 13 of Fleiss, Cohen and Everitt, without weights."""
    margins = p.sum(0)[:, None] + p.sum(1)[None, :]  # of category i with the second reader and j with the first
    agreed = np.diag(p) @ (1 - expected - np.diag(margins) * (1 - observed)) ** 2
    apart = (1 - observed) ** 2 * (p * margins**2)[~np.eye(len(p), dtype=bool)].sum()
    variance = agreed + apart - (observed * expected - 2 * expected + observed) ** 2
    return sqrt(max(variance, 0) / n) / (1 - expected) ** 2
