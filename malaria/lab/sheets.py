"""What the page keeps of a photograph, or of crops laid out side by side as if they were one; a folder each.

cells/IMG_1.jpg/sheet.json    the cells: places, outlines, and what the photograph's quality is judged by
                view.jpg      what the page shows
                pixels.npy    what the network sees, (N, size, size, 3)
                0001.png      a cell as an image, for labels; of crops, the files as they came
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from malaria.data.decode import Pixels
from malaria.data.index import PLACES
from malaria.evaluation.metrics import Array
from malaria.slide.groups import Rates

SHEET, VIEW, PIXELS = "sheet.json", "view.jpg", "pixels.npy"
MOST_CROPS = 192  # of a sheet

Points = list[list[float]]  # x, y each, px


@dataclass(frozen=True)
class Sheet:
    """A photograph or crops: `table` has a row a cell, `outlines` a closed line around each.

    The columns of `table` are image (the path of the cell's file relative to the folder of the lab) and PLACES; its
    boxes and the outlines are px of view.jpg. `quality` is of a photograph, None of crops: light, covered, sharpness,
    diameter and the number of other bodies of each kind, as of `Photograph`. `how` is how the pixels were made.
    """

    name: str
    size: tuple[int, int]  # px of view.jpg
    table: pd.DataFrame
    outlines: list[Points]
    quality: dict[str, Any] | None
    how: dict[str, Any]

    @property
    def is_photograph(self) -> bool:
        """Whether it is a photograph, of which there is a parasitemia."""
        return self.quality is not None


def read_sheet(folder: Path) -> Sheet:
    """The sheet of a folder that was written before.

    Raises:
        ValueError, KeyError, OSError: there is none, or it was not written to its end.
    """
    content = json.loads((folder / SHEET).read_bytes())
    table = pd.DataFrame(content.pop("table"), columns=["image", *PLACES])
    return Sheet(size=tuple(content.pop("size")), table=table, **content)


def read_pixels(folder: Path) -> Pixels:
    """What the network sees of the cells of a folder, (N, size, size, 3)."""
    pixels: Pixels = np.load(folder / PIXELS)
    return pixels


@dataclass(frozen=True)
class Called:
    """A sheet with its cells' calls (as of `Classifier.decide`), features (N, D), and the photograph's problems."""

    sheet: Sheet
    calls: pd.DataFrame
    features: Array
    problems: list[str]


@dataclass(frozen=True)
class Read:
    """What became of some files: sheets that are new or have more cells, and a line for each that cannot be read."""

    called: list[Called] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)  # the problem by file name


@dataclass(frozen=True)
class Model:
    """What the page says of a model, and counts with. `labels` and `metrics` are of its adaptation, if it has one."""

    trained_on: str
    input: str  # architecture, pixels and parameters
    threshold: float
    rates: Rates
    caution: str  # what a reader must know of it; empty where nothing
    labels: int = 0
    metrics: dict[str, float | None] = field(default_factory=dict)
