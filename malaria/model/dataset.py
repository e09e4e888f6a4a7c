"""data/cells.npy and split.csv as a dataset: a batch of cells at a time becomes a tensor."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from malaria.core.errors import UserError
from malaria.core.hashing import Hashes, hash_array


class CellFile:
    """The (N, size, size, 3) uint8 cells of a .npy file, read when they are indexed as a tensor is.

    A memory map would do the same, but its pages count as memory of the process: 12 GB for a million cells of 64 px.
    The file system's cache, which holds them here, gives way when others need the memory.
    """

    device = torch.device("cpu")

    def __init__(self, path: Path) -> None:
        mapped = np.load(path, mmap_mode="r")  # for the header
        self.shape, self._start, self._bytes = mapped.shape, mapped.offset, mapped[0].nbytes
        self._file = path.open("rb", buffering=0)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Tensor) -> Tensor:
        cells = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8)
        for cell, row in zip(cells.numpy(), rows.tolist(), strict=True):
            self._file.seek(self._start + row * self._bytes)
            if self._file.readinto(cell) != self._bytes:
                raise OSError(
                    f"{self._file.name} is shorter than its header says; `dvc repro preprocess` makes it anew"
                )
        return cells


@dataclass(frozen=True)
class Cells:
    """pixels (N, size, size, 3) uint8, labels (N,) of 0.0 and 1.0, and by the name of each split its rows."""

    pixels: Tensor | CellFile
    labels: Tensor
    rows: dict[str, Tensor]


def load_cells(path: Path, split: pd.DataFrame, device: torch.device, size: int) -> Cells:
    """The cells of a cells.npy, whose rows are those of split.csv: left in the file on the CPU, copied to a GPU.

    Raises:
        UserError: they are not `size` px, or not as many as the split has rows.
    """
    pixels = CellFile(path)
    if pixels.shape != (len(split), size, size, 3):
        raise UserError(
            f"{path}: {pixels.shape[0]} cells of {pixels.shape[1]} px, where {len(split)} of {size} px are wanted; "
            "`dvc repro` makes data and model fit each other"
        )
    labels = torch.tensor(split.label.to_numpy(), dtype=torch.float32, device=device)
    rows = {name: torch.tensor(np.flatnonzero(split.split == name), device=device) for name in split.split.unique()}
    return Cells(pixels if device.type == "cpu" else torch.from_numpy(np.load(path)).to(device), labels, rows)


def hash_cells(cells: Cells, splits: list[str]) -> Hashes:
    """A hash of the pixels of each cell of some splits."""
    rows = torch.cat([cells.rows[name] for name in splits])
    parts = (cells.pixels[part].cpu().numpy() for part in torch.split(rows, 1024))
    return np.array([hash_array(cell) for part in parts for cell in part], np.uint64)


def to_floats(cells: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 as (N, 3, H, W) floats in 0..1."""
    return cells.permute(0, 3, 1, 2).contiguous().float().div_(255)  # augmentation is faster channels first


def find_inside(batch: Tensor) -> Tensor:
    """The mask of the cell, (N, 1, H, W) booleans, of (N, 3, H, W) floats: the background is black."""
    return batch.amax(1, keepdim=True) > 0
