"""Cells are read from their file as from an array, without filling the memory of the process."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from malaria.core.errors import UserError
from malaria.model.dataset import CellFile, load_cells

CPU = torch.device("cpu")
SPLIT = pd.DataFrame({"label": [0, 1, 1, 0], "split": ["test", "train", "val", "train"]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Four cells of 2 px."""
    np.save(tmp_path / "cells.npy", np.arange(48, dtype=np.uint8).reshape(4, 2, 2, 3))
    return tmp_path / "cells.npy"


def test_cells_of_a_file_are_those_of_the_array_and_each_split_has_its_rows_and_labels(path: Path) -> None:
    cells, array = load_cells(path, SPLIT, CPU, 2), np.load(path)
    for rows in ([3], [2, 0, 0], [], list(range(4))):
        assert np.array_equal(cells.pixels[torch.tensor(rows, dtype=torch.long)].numpy(), array[rows])
    assert {name: rows.tolist() for name, rows in cells.rows.items()} == {"test": [0], "train": [1, 3], "val": [2]}
    assert cells.labels.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(("rows", "size", "named"), [(1, 2, ("4 cells", "1 of")), (4, 3, ("2 px", "3 px"))])
def test_a_file_of_other_length_or_size_is_refused(rows: int, size: int, named: tuple[str, ...], path: Path) -> None:
    with pytest.raises(UserError) as told:
        load_cells(path, SPLIT[:rows], CPU, size)
    assert all(words in str(told.value) for words in (str(path), *named))


def test_a_file_that_is_truncated_while_it_is_read_raises(path: Path) -> None:
    cells = CellFile(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    assert cells[torch.tensor([2])].any()
    with pytest.raises(OSError, match=r"cells\.npy"):
        cells[torch.tensor([3])]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the memory of a process")
def test_reading_the_file_does_not_fill_the_memory(path: Path) -> None:
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(4000, 128, 128, 3))  # 197 MB, a hole on disk
    cells, before = CellFile(path), _resident()
    for rows in torch.arange(len(cells)).split(100):
        cells[rows]
    assert _resident() - before < 50


def _resident() -> float:
    """MB of this process in memory, mapped files included."""
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1000
