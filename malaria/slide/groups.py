"""Predictions counted by patient or folder, with the share of Parasitized and its interval."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import PurePath

import pandas as pd

from malaria.core.errors import UserError
from malaria.data.index import CLASSES

NONE = "(none)"  # the group of images without one
CAVEAT = (
    "The share is of the given crops, and no parasitemia, since it is not known which cells were cropped.\n"
    "Its interval (Wilson, 95 %) is of sampling cells; the model's own error is not in it."
)
Z = 1.959964  # the 97.5 % quantile of the normal distribution
_COUNTS = ["cells", "parasitized", "uncertain", "ood"]

Grouping = Callable[[str], str]  # from the name of an image to its group


def choose_grouping(by: str) -> Grouping:
    """A grouping by name: `patient`, by names like NLM's; `folder`; or a CSV file with the columns image, patient.

    Raises:
        UserError: it is none of these, or the file cannot be used.
    """
    if by == "patient":
        from malaria.sources.nih import find_patient  # brings requests, which takes a while to import

        return lambda name: find_patient(name) or NONE
    if by == "folder":
        return lambda name: str(PurePath(name).parent)
    return _read_mapping(by)


def _read_mapping(path: str) -> Grouping:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"--by {path}: neither patient nor folder nor a CSV file: {error}") from None
    if not {"image", "patient"} <= set(table.columns):
        raise UserError(f"--by {path}: needs the columns image and patient; it has {', '.join(table.columns)}")
    mapping = dict(zip(table.image, table.patient, strict=True))
    return lambda name: mapping.get(name) or mapping.get(PurePath(name).name) or NONE


class Tally:
    """Counts by group, of predictions that are added a table at a time."""

    def __init__(self, grouping: Grouping) -> None:
        self._grouping = grouping
        self._counts: dict[str, list[int]] = defaultdict(lambda: [0] * len(_COUNTS))

    def add(self, table: pd.DataFrame) -> None:
        """Count rows of `predict_files`."""
        facts = pd.DataFrame(
            {
                "cells": 1,
                "parasitized": table.prediction == CLASSES[1],
                "uncertain": table.uncertain,
                "ood": table.ood != "",
            }
        ).astype(int)
        for group, counts in facts.groupby(table.image.map(self._grouping)).sum().iterrows():
            self._counts[str(group)] = [a + int(b) for a, b in zip(self._counts[str(group)], counts, strict=True)]

    def summarise(self) -> pd.DataFrame:
        """A row a group, sorted: group, cells, parasitized, share with its low and high, uncertain, ood."""
        rows = []
        for group, counts in sorted(self._counts.items()):
            row = dict(zip(_COUNTS, counts, strict=True))
            low, high = wilson_interval(row["parasitized"], row["cells"])
            shares = {"share": row["parasitized"] / row["cells"], "low": low, "high": high}
            rows.append({"group": group, **{name: row.pop(name) for name in _COUNTS[:2]}, **shares, **row})
        columns = ["group", *_COUNTS[:2], "share", "low", "high", *_COUNTS[2:]]
        return pd.DataFrame(rows, columns=columns)


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a binomial proportion (Wilson 1927)."""
    share, spread = successes / trials, Z**2 / trials
    middle = share + spread / 2
    half = (share * (1 - share) * spread + spread**2 / 4) ** 0.5
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))
