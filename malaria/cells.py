"""The decoded cells, of which a batch at a time becomes a tensor."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from malaria.outs import map_cells, reading


class CellFile:
    """The (N, size, size, 3) uint8 cells of a .npy file, indexed as a tensor is: rows are read when asked for.

    A map of the file would do the same, but its pages count as memory of the process: 12 GB at a million cells of
    64 px. Here what is kept between batches is the system's cache, which gives way when others need the memory.
    """

    device = torch.device("cpu")

    def __init__(self, path: Path, rows: int | None = None) -> None:
        mapped = map_cells(path, rows)  # for the header, and the check that the file is as long as it says
        self.shape, self._start, self._bytes = mapped.shape, mapped.offset, mapped[0].nbytes
        self._file = path.open("rb", buffering=0)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Tensor) -> Tensor:
        cells = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8)
        for cell, row in zip(cells.numpy(), rows.tolist(), strict=True):
            self._file.seek(self._start + row * self._bytes)
            if self._file.readinto(cell) != self._bytes:
                raise OSError(f"{self._file.name} was cut short while it was read: run dvc repro preprocess")
        return cells


@dataclass(frozen=True)
class Cells:
    """pixels (N, size, size, 3) uint8, labels (N,) of 0.0 and 1.0, and by the name of each split its rows."""

    pixels: Tensor | CellFile
    labels: Tensor
    rows: dict[str, Tensor]


def load_cells(path: Path, split: pd.DataFrame, device: torch.device, size: int | None = None) -> Cells:
    """The cells of a cells.npy, whose rows are those of split.csv: left in the file on the CPU, whole on a GPU.

    Raises:
        UserError: it is damaged, the two are not of the same length, or the cells not of the size that a model wants.
    """
    pixels = CellFile(path, len(split))
    with reading(path):
        if size and pixels.shape[1] != size:
            raise ValueError(f"its cells have {pixels.shape[1]} px, and the model was trained on {size}")
    labels = torch.tensor(split.label.to_numpy(), dtype=torch.float32, device=device)
    rows = {name: torch.tensor(np.flatnonzero(split.split == name), device=device) for name in split.split.unique()}
    return Cells(pixels if device.type == "cpu" else torch.from_numpy(np.load(path)).to(device), labels, rows)


def to_floats(cells: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 as (N, 3, H, W) floats in 0..1."""
    return cells.permute(0, 3, 1, 2).contiguous().float().div_(255)  # augmentation is faster channels first


def find_inside(batch: Tensor) -> Tensor:
    """Where there is cell, (N, 1, H, W) booleans of (N, 3, H, W) floats: outside of it all is black."""
    return batch.amax(1, keepdim=True) > 0
