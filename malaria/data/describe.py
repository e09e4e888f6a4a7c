"""What the pages and pictures say of the cells that they were made of."""

from typing import Literal

import pandas as pd

from malaria.data.index import Group, describe_groups
from malaria.params import Download

NIH_SHA256 = "bbf8e97d0a8b42fbbd16af1938174da47bf37cf2e16469acfb327471ee8d2b04"  # of the NIH/NLM cells
UNITS: dict[Group, str] = {"patient": "patient", "photo": "photograph", "cell": "cell"}

Data = Literal["nih", "synthetic", "own", "other"]


def identify_data(download: Download) -> Data:
    """What the cells are; `other` are those that MALARIA_CELLS names in place of NIH's."""
    match download.source:
        case "synthetic" | "own" as source:
            return source
        case _:
            return "nih" if download.sha256 == NIH_SHA256 else "other"


def describe_data(download: Download, index: pd.DataFrame) -> str:
    """As in: synthetic cells: 2,400 cells of 40 patients; `index` are the cells to count, rows as of cells.csv."""
    cells = describe_cells(index)
    match identify_data(download):
        case "nih":
            return f"{cells} of NIH/NLM's malaria images"
        case "synthetic":
            return f"synthetic cells: {cells}"
        case "own":
            return describe_own(download.path, index)
        case _:
            return f"other cells: {cells}"


def describe_own(path: str, index: pd.DataFrame) -> str:
    """As in: your cells: PATH, 300 cells of 12 patients."""
    return f"your cells: {path}, {describe_cells(index)}"


def describe_cells(index: pd.DataFrame) -> str:
    """As in: 300 cells of 12 photographs."""
    return count_cells(len(index), index.patient.nunique(), describe_groups(index))


def count_cells(cells: int, groups: int, kind: Group) -> str:
    """The number of cells and of what the column `patient` of their index holds."""
    if kind == "cell":
        return f"{_count(cells, 'cell')}, patients unknown"
    return f"{_count(cells, 'cell')} of {_count(groups, UNITS[kind])}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
