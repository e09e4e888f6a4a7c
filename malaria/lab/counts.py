"""Parasitized cells and parasitemia by photograph and by patient, from calls and a reader's labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from malaria.data.index import CLASSES
from malaria.evaluation.calibration import Beta
from malaria.slide.groups import COUNTED, Rates
from malaria.slide.parasitemia import Parasitemia, estimate_parasitemia

ASIDE = "not counted"
SUMMED = ("photographs", "cells", "parasitized", "labelled", "uncertain", "ood")  # of a patient's photographs


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
    unlabelled = cells[~labelled]
    return Count(
        name,
        1,
        len(cells),
        called,
        int(labelled.sum()),
        int(unlabelled.uncertain.sum()),
        int((unlabelled.ood != "").sum()),
        None if crops else _estimate((called,), (len(cells),), int(labelled.sum()), rates),
    )


def combine(name: str, counts: Sequence[Count], rates: Rates) -> Count:
    """The count of a patient, from those of the photographs."""
    total = {it: sum(getattr(count, it) for count in counts) for it in SUMMED}
    called, cells = (tuple(getattr(count, it) for count in counts) for it in ("parasitized", "cells"))
    return Count(name, parasitemia=_estimate(called, cells, total["labelled"], rates), **total)


@lru_cache(maxsize=4096)  # each takes some tens of milliseconds, and most photographs are as they were
def _estimate(called: tuple[int, ...], cells: tuple[int, ...], labelled: int, rates: Rates) -> Parasitemia:
    share = labelled / sum(cells) if sum(cells) else 0.0
    sensitivity, specificity = (beta and allow_for_labels(beta, share) for beta in rates)
    return estimate_parasitemia(np.array(called), np.array(cells), sensitivity, specificity)


def allow_for_labels(rate: Beta, share: float) -> Beta:
    """Sensitivity or specificity where a person has labelled a share of the cells, and is right.

    The rate of errors of all cells is that of the others times their share: its mean and standard deviation shrink
    alike. A Beta distribution with these moments.
    """
    alpha, beta = rate
    share = min(share, 0.999)  # of a rate without errors there is no such distribution
    mean = beta / (alpha + beta)
    variance = mean * (1 - mean) / (alpha + beta + 1) * (1 - share) ** 2
    mean *= 1 - share
    total = mean * (1 - mean) / variance - 1
    return (1 - mean) * total, mean * total
