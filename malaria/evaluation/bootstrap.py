"""Confidence intervals by the percentile bootstrap over patients (Efron 1979).

The cells of a patient are correlated, so patients are resampled, each with all its cells; resampling cells would give
intervals that are far too narrow.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from malaria.data.index import Group
from malaria.evaluation.metrics import Array

RESAMPLES, SEED = 2000, 0
FEWEST = 5  # patients: intervals from fewer are far too narrow: those from two reach from one patient to the other
LEVEL = 0.95
_AT_ONCE = 4_000_000  # weights held in memory, of 8 bytes each

RESAMPLED: dict[Group, str] = {
    "patient": "a bootstrap over patients",
    "photo": "a bootstrap over photographs, since the patients are unknown; they are too narrow where a patient has "
    "several photographs",
    "cell": "a bootstrap over cells, since patients and photographs are unknown; they are too narrow, because cells of "
    "one patient are correlated",
}

Metrics = Callable[[Array], pd.DataFrame]


def resample(cells: pd.DataFrame, metrics: Metrics, resamples: int = RESAMPLES) -> pd.DataFrame:
    """The metrics of resamples of the patients, a row a resample; all NaN where there are fewer than FEWEST.

    `metrics` takes weights (R, N) of the N cells, and returns R rows.
    """
    codes, patients = pd.factorize(cells.patient)
    draws = np.random.default_rng(SEED).multinomial(len(patients), np.full(len(patients), 1 / len(patients)), resamples)
    chunks = np.array_split(draws.astype(float), max(1, resamples * len(cells) // _AT_ONCE))
    table = pd.concat([metrics(chunk[:, codes]) for chunk in chunks], ignore_index=True)
    return table if len(patients) >= FEWEST else table * np.nan


def interval(values: pd.Series) -> tuple[float, float]:
    """The bounds of the middle LEVEL of resampled values; NaN where too many of them are undefined."""
    if values.isna().mean() > 1 - LEVEL:
        return np.nan, np.nan
    low, high = values.quantile([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def with_intervals(metrics: pd.Series, resampled: pd.DataFrame) -> dict[str, float]:
    """Each metric with its interval: name, name_low, name_high."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        low, high = interval(resampled[name])
        flat |= {f"{name}": float(value), f"{name}_low": low, f"{name}_high": high}
    return flat
