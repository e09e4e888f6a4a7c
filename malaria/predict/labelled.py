"""Labelled cells from files, as a model takes them: what `malaria adapt` and `malaria evaluate` read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from malaria.core.artifacts import atomic_write
from malaria.core.errors import UserError
from malaria.core.hashing import Hashes
from malaria.core.workers import count_cores
from malaria.data.decode import Pixels
from malaria.evaluation.metrics import Array, ranking_metrics
from malaria.params import Preprocess
from malaria.smear.archive import decode_archive
from malaria.sources.own import read_labels, write_labelled

OPPOSITE = 0.15  # ROC AUC: the worst laboratory seen had 0.79 (0.21 if swapped); ten labels reach this by chance rarely
SWAPPED = (
    "the labels are the opposite of what the model predicts. Are the two classes swapped? --classes takes the name of "
    "the uninfected cells first"
)


@dataclass(frozen=True)
class LabelledCells:
    """Cells with labels: an index (N rows) as of `malaria.data.index`, pixels (N, size, size, 3) and their hashes.

    `unsegmented` are the names of the crops in which no cell was found; with unsegmented "drop" they are not among the
    others.
    """

    index: pd.DataFrame
    pixels: Pixels
    hashes: Hashes
    unsegmented: list[str]


def read_labelled(path: Path, classes: Sequence[str], how: Preprocess, archive: Path) -> LabelledCells:
    """Read what `download.path` may name: crops or photographs with labels; write the cells to `archive` too.

    Raises:
        UserError: they cannot be read, or not all of them have a label; every image that is no cell is named.
    """
    index = write_labelled(read_labels(path, classes), archive)
    names, hashes, unsegmented = index.name.tolist(), [], []
    try:
        with atomic_write(archive.with_name("cells.npy")) as temporary:
            for chunk, without_cell in decode_archive(archive, names, temporary, how, _workers(len(names))):
                hashes.append(chunk)
                unsegmented += without_cell
            pixels = np.load(temporary)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    kept = ~index.name.isin(unsegmented if how.unsegmented == "drop" else []).to_numpy()
    return LabelledCells(index[kept].reset_index(drop=True), pixels[kept], np.concatenate(hashes)[kept], unsegmented)


def are_swapped(labels: pd.Series, probability: Array) -> bool:
    """Whether a model predicts the opposite of the labels (N,), which says more of their names than of the model."""
    auc = ranking_metrics(pd.DataFrame({"label": labels, "probability": probability})).roc_auc.iloc[0]
    return bool(auc < OPPOSITE)


def _workers(cells: int) -> int:
    """A process starts in the time that it takes to decode some hundred cells."""
    return min(count_cores(), 1 + cells // 500)
