"""What is wrong with a photograph, or with the smear in it, so that its count is less to be trusted."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from malaria.smear.cells import COUNTED
from malaria.smear.photograph import Photograph

# Measured on NLM's 13 photographs, on 5 of them and 3 drawn ones blurred and darkened step by step, with a model
# that was trained on NLM's cells, and on drawn fields of growing density.
SHARP = 0.65  # NLM's have 0.66 to 1.01. Blurred so that they have less, a fifth to a third of their parasites are lost
DARK = 50  # of 255: down to 45 the same parasites are found, at 27 up to three quarters of them are lost
FEW = 30  # cells: a field of NLM's has 110 to 270, and of fewer than this one false positive is 3 %
COVERED = 0.55  # NLM's cover 0.19 to 0.61. Of drawn cells a tenth is missed there, and a fifth if they are even denser
CLUMPS = 0.1  # of the cells and clumps: NLM's have 0 to 0.1, most below 0.05
OOD = 0.3  # of the cells: NLM's have 0.04 to 0.23, another laboratory's all
DIAMETERS = 30, 250  # px: of fewer a ring is 3 px wide; more no objective gives, so that it is not a cell's


class Problem(NamedTuple):
    """A short name, and a sentence or two: what was measured, and what to do."""

    name: str
    text: str


def check_quality(found: Photograph, table: pd.DataFrame) -> list[Problem]:
    """The problems of a photograph, the gravest first; none in most. `table` has the calls of its cells."""
    if not table.empty:
        return [*_check_light(found), *_check_smear(found), *_check_cells(table)]
    text = (
        "No red cell was found. Is this a photograph of a stained thin smear, and in focus? If it is of one cell, say "
    )
    return [*_check_light(found), Problem("No smear", f"{text}`malaria predict --as crop`.")]


def _check_light(found: Photograph) -> Iterator[Problem]:
    if found.cells and found.sharpness < SHARP:
        yield Problem(
            "Out of focus",
            f"The sharpness of outlines is {found.sharpness:.2f}, below {SHARP:g}, so parasites are missed: focus and "
            "photograph it again.",
        )
    if found.light < DARK:
        yield Problem(
            "Too dark",
            f"The background has a brightness of {found.light:.0f} of 255, below {DARK}: expose longer, or add light.",
        )


def _check_smear(found: Photograph) -> Iterator[Problem]:
    cells = sum(cell.kind in COUNTED for cell in found.cells)
    if found.diameter is not None and not DIAMETERS[0] <= found.diameter <= DIAMETERS[1]:
        yield Problem(
            "Unusual scale",
            f"A red cell seems to be {found.diameter:.0f} px wide, not {DIAMETERS[0]} to {DIAMETERS[1]}: if the "
            "outlines are not those of cells, the photograph may be out of focus; else take it at another resolution.",
        )
    if cells < FEW:
        yield Problem("Few cells", f"{cells} red cells were counted, below {FEW}: choose a field with more of them.")
    if found.covered > COVERED:
        yield Problem(
            "Too dense",
            f"Cells cover {found.covered:.0%} of the field, above {COVERED:.0%}: many lie on others. Choose a field "
            "nearer to the feathered edge.",
        )
    clumps = found.others["clump"]
    if clumps > CLUMPS * (len(found.cells) + clumps):
        yield Problem(
            "Clumps",
            f"{clumps} clumps of cells could not be parted and were not counted, beside {len(found.cells)} cells: "
            "choose a field in which cells lie apart.",
        )


def _check_cells(table: pd.DataFrame) -> Iterator[Problem]:
    ood = (table.ood != "").mean()
    if ood > OOD:
        statistic = table.ood[table.ood != ""].mode()[0]
        yield Problem(
            "Out of distribution",
            f"{ood:.0%} of the cells differ from those the model was trained on, above {OOD:.0%}, most of them in "
            f"{statistic}: its error rates may not hold. Adapt it to your cells with `malaria adapt`.",
        )
