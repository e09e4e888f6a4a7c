"""Parasitized cells and parasitemia by photograph and by patient, from calls and a reader's labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.special import betaincinv

from malaria.data.index import CLASSES
from malaria.slide.groups import COUNTED, Rates
from malaria.slide.parasitemia import Parasitemia, estimate_parasitemia

ASIDE = "not counted"
SUMMED = (
    "photographs",
    "cells",
    "parasitized",
    "labelled",
    "uncertain",
    "ood",
    "positive",
)  # of a patient's photographs


@dataclass(frozen=True)
class Count:
    """The cells of a photograph or of all photographs of a patient, and its parasitemia where it has one."""

    name: str
    photographs: int
    cells: int
    parasitized: int
    labelled: int
    uncertain: int
    ood: int
    positive: int  # labelled as parasitized
    parasitemia: Parasitemia | None  # None of crops: it is not known of which cells they are


def decide(table: pd.DataFrame, calls: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """The cells with their calls, a reader's labels in their place where there are any.

    Adds the columns label (empty where there is none) and decision: a class, or ASIDE for what a reader set aside and
    what does not count since the border cuts it.
    """
    cells = pd.concat([table, calls], axis=1)
    cells["label"] = [labels.get(image, "") for image in cells.image]
    decision = cells.label.where(cells.label != "", cells.prediction)
    counts = decision.isin(CLASSES) & (cells.kind.isin(COUNTED) | (cells.label != ""))
    return cells.assign(decision=decision.where(counts, ASIDE))


def name_styles(cells: pd.DataFrame) -> list[str]:
    """How each cell of `decide` is drawn: one of `malaria.slide.overlay.STYLES`."""
    unsure = cells.uncertain.astype(bool) & (cells.label == "") & cells.decision.isin(CLASSES)
    return cells.decision.str.lower().where(~unsure, "uncertain").tolist()


def count(name: str, cells: pd.DataFrame, rates: Rates, crops: bool = False) -> Count:
    """Count the cells of a photograph, or of crops, as of `decide`."""
    cells = cells[cells.decision != ASIDE]
    called, labelled = int((cells.decision == CLASSES[1]).sum()), cells.label != ""
    unlabelled, positive = cells[~labelled], int((cells.label == CLASSES[1]).sum())
    return Count(
        name,
        1,
        len(cells),
        called,
        int(labelled.sum()),
        int(unlabelled.uncertain.sum()),
        int((unlabelled.ood != "").sum()),
        positive,
        None if crops else _estimate((called - positive,), (len(unlabelled),), positive, int(labelled.sum()), rates),
    )


def combine(name: str, counts: Sequence[Count], rates: Rates) -> Count:
    """The count of a patient, from those of the photographs."""
    total = {it: sum(getattr(count, it) for count in counts) for it in SUMMED}
    called = tuple(count.parasitized - count.positive for count in counts)
    cells = tuple(count.cells - count.labelled for count in counts)
    return Count(name, parasitemia=_estimate(called, cells, total["positive"], total["labelled"], rates), **total)


@lru_cache(maxsize=4096)  # each takes some tens of milliseconds, and most photographs are as they were
def _estimate(
    called: tuple[int, ...], cells: tuple[int, ...], positive: int, labelled: int, rates: Rates
) -> Parasitemia:
    """The parasitemia of cells that a person labelled, of which some are positive, and of others that were called.

    `called` and `cells` are of the others, by photograph. The share of each part counts by its size, and the intervals
    are added as those of independent estimates (MOVER, Zou and Donner, Stat Med 27:1693, 2008, doi:10.1002/sim.3095).
    Where a person saw a parasite there is one.
    """
    others = estimate_parasitemia(np.array(called), np.array(cells), *rates)
    if not labelled:
        return others
    weights = np.array([labelled, others.cells]) / (labelled + others.cells)
    known = _measure_share(positive, labelled)
    rest = (others.low, others.parasitemia, others.high) if others.cells else (0.0, 0.0, 0.0)
    low, middle, high = (weights * part for part in np.array([known, rest]).T)
    return replace(
        others,
        cells=others.cells + labelled,
        called=others.called + positive,
        parasitemia=float(middle.sum()),
        low=float(middle.sum() - np.linalg.norm(middle - low)),
        high=float(middle.sum() + np.linalg.norm(high - middle)),
        any_parasite=1.0 if positive else others.any_parasite,
    )


def _measure_share(count: int, n: int) -> tuple[float, float, float]:
    """The low end, value and high end of a share of n cells: Jeffreys' interval of 95 %."""
    low, high = (float(betaincinv(count + 0.5, n - count + 0.5, level)) for level in (0.025, 0.975))
    return 0.0 if count == 0 else low, count / n, 1.0 if count == n else high
