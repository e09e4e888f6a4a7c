"""Predictions counted by photograph, patient or folder, with the parasitemia and its interval."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np
import pandas as pd

from malaria.core.errors import UserError
from malaria.data.index import CLASSES
from malaria.data.patients import Patients, read_patients
from malaria.evaluation.calibration import Beta
from malaria.slide.parasitemia import RED_CELLS, estimate_parasitemia, per_microlitre
from malaria.smear.files import Decoded

NONE = "(none)"  # the group of images without one
COUNTED = "", "single", "clumped"  # kinds of cells that count: of crops, and of photographs
NOTES = (
    "parasitemia: posterior median and 95 % credible interval, % of red cells. It holds the sampling of cells and\n"
    "photographs, and the model's errors in a patient it has not seen (docs/PREDICTING.md).\n"
    "any: probability that there is a parasite at all; 0.50 is assumed beforehand.\n"
    "more: photographs like these that would halve the interval; where there is none, the model's errors decide:\n"
    "--operating-point specificity_99 has fewer false alarms, and `malaria adapt` fits the model to your cells.\n"
    "per uL: infected cells per microlitre, if there are {red_cells:,.0f} red cells in one (--red-cells)."
)
CROPS = (
    "Of crops it is the share of what was given, and no parasitemia, since it is not known which cells were cropped."
)

COLUMNS = ["group", "photographs", "cells", "parasitized", "parasitemia", "low", "high", "any", "more", "per_ul"]
COLUMNS += ["uncertain", "ood", "border", "clumps"]

NO_RATES = (
    "This model's card has no error rates, so there is no parasitemia: run the stage evaluate again (`dvc repro`), or "
    "adapt the model anew."
)

Rates = tuple[Beta | None, Beta | None]  # sensitivity and specificity


@dataclass(frozen=True)
class Grouping:
    """From the name of an image to its group; `patients` are those of a CSV file, where they are read from one."""

    find: Callable[[str], str | None]
    patients: Patients | None = None

    def __call__(self, name: str) -> str:
        return self.find(name) or NONE


def choose_grouping(by: str) -> Grouping:
    """A grouping by name: `photo`, each file; `patient`, by names like NLM's; `folder`; or a CSV file with the columns
    image and patient.

    Raises:
        UserError: it is none of these, or the file cannot be used.
    """
    if by == "photo":
        return Grouping(str)
    if by == "patient":
        from malaria.sources.nih import find_patient  # brings requests, which takes a while to import

        return Grouping(find_patient)
    if by == "folder":
        return Grouping(lambda name: str(PurePath(name).parent))
    if not Path(by).exists():
        raise UserError(f"--by {by}: neither photo nor patient nor folder, and no such file")
    patients = read_patients(Path(by))
    return Grouping(patients.find, patients)


@dataclass
class _Group:
    """Counts of a group: of each photograph, and of all its crops together as if they were one."""

    called: list[int] = field(default_factory=list)  # cells called parasitized
    cells: list[int] = field(default_factory=list)  # that count
    crops: list[int] = field(default_factory=lambda: [0, 0])  # the same two
    photographs: int = 0
    border: int = 0  # cells that do not count, since they are cut
    clumps: int = 0  # bodies that do not count, since they are several cells
    uncertain: int = 0
    ood: int = 0


class Tally:
    """Counts by group, of predictions that are added a photograph or some crops at a time."""

    def __init__(self, grouping: Grouping, rates: Rates, red_cells: float = RED_CELLS) -> None:
        self._grouping, self._rates, self._red_cells = grouping, rates, red_cells
        self._groups: dict[str, _Group] = defaultdict(_Group)
        self.has_crops = False

    def add(self, predicted: Decoded) -> None:
        """Count what `predict_files` yields."""
        if predicted.file is None:
            for name, table in predicted.table.groupby(predicted.table.image.map(self._grouping)):
                self._count(str(name), table)
                self._groups[str(name)].crops[0] += int((table.prediction == CLASSES[1]).sum())
                self._groups[str(name)].crops[1] += len(table)
                self.has_crops = True
        else:
            name, found = self._grouping(predicted.file.name), predicted.found
            counted = self._count(name, predicted.table)
            group = self._groups[name]
            group.called.append(int((counted.prediction == CLASSES[1]).sum()))
            group.cells.append(len(counted))
            group.photographs += 1
            group.border += len(predicted.table) - len(counted)
            group.clumps += found.others["clump"] if found else 0

    def _count(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Count the warnings; return the rows that count."""
        counted = table[table.kind.isin(COUNTED)]
        self._groups[name].uncertain += int(counted.uncertain.sum())
        self._groups[name].ood += int((counted.ood != "").sum())
        return counted

    def summarise(self) -> pd.DataFrame:
        """A row a group, sorted: group, photographs, cells, parasitized (called so), parasitemia, low and high (%), any
        (probability of any parasite), more (photographs that would halve the interval, NaN where none would), per_ul
        (infected cells per microlitre), uncertain, ood, border and clumps (which do not count).
        """
        return pd.DataFrame(self._rows(), columns=COLUMNS).astype({"more": "Int64"})

    def _rows(self) -> Iterator[dict[str, object]]:
        for name, group in sorted(self._groups.items()):
            called, cells = ([*of, crop] for of, crop in zip((group.called, group.cells), group.crops, strict=True))
            found = estimate_parasitemia(np.array(called), np.array(cells), *self._rates)
            yield {
                "group": name,
                "photographs": group.photographs,
                "cells": found.cells,
                "parasitized": found.called,
                "parasitemia": round(100 * found.parasitemia, 3),
                "low": round(100 * found.low, 3),
                "high": round(100 * found.high, 3),
                "any": round(found.any_parasite, 3),
                "more": found.more_fields,
                "per_ul": float(f"{per_microlitre(found.parasitemia, self._red_cells):.2g}"),
                **{count: getattr(group, count) for count in ("uncertain", "ood", "border", "clumps")},
            }
