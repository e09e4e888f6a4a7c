"""The decoded cells as tensors on one device."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor


@dataclass(frozen=True)
class Cells:
    """pixels (N, size, size, 3) uint8, labels (N,) of 0.0 and 1.0, and by the name of each split its rows."""

    pixels: Tensor
    labels: Tensor
    rows: dict[str, Tensor]


def load_cells(path: Path, split: pd.DataFrame, device: torch.device) -> Cells:
    """The cells of a cells.npy, whose rows are those of split.csv: mapped on the CPU, copied whole to a GPU.

    Raises:
        ValueError: the two are not of the same length.
    """
    pixels = np.load(path, mmap_mode="c")  # "c": torch wants to be allowed to write, the file stays as it is
    if len(pixels) != len(split):
        raise ValueError(f"{path} has {len(pixels)} cells and split.csv {len(split)}: run dvc repro preprocess")
    labels = torch.tensor(split.label.to_numpy(), dtype=torch.float32, device=device)
    rows = {name: torch.tensor(np.flatnonzero(split.split == name), device=device) for name in split.split.unique()}
    return Cells(torch.from_numpy(pixels).to(device), labels, rows)
