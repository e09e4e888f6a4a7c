"""Cells are read from their file as from an array, without becoming the memory of the process."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from malaria.core.errors import UserError
from malaria.model.dataset import CellFile, load_cells

CPU = torch.device("cpu")


def test_rows_of_a_file_are_those_of_the_array(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (7, 5, 5, 3), dtype=np.uint8)
    np.save(tmp_path / "cells.npy", array)
    cells = CellFile(tmp_path / "cells.npy")
    assert len(cells) == 7
    for rows in ([3], [6, 0, 0], [], list(range(7))):
        assert np.array_equal(cells[torch.tensor(rows, dtype=torch.long)].numpy(), array[rows])


def test_each_split_has_its_rows_and_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "cells.npy", np.zeros((4, 2, 2, 3), np.uint8))
    split = pd.DataFrame({"label": [0, 1, 1, 0], "split": ["test", "train", "val", "train"]})
    cells = load_cells(tmp_path / "cells.npy", split, CPU)
    assert {name: rows.tolist() for name, rows in cells.rows.items()} == {"test": [0], "train": [1, 3], "val": [2]}
    assert cells.labels.tolist() == [0, 1, 1, 0]


def test_a_file_of_another_length_or_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cells.npy"
    np.save(path, np.zeros((4, 2, 2, 3), np.uint8))
    with pytest.raises(UserError, match=r"cells\.npy: .*it has 4 cells and data/split\.csv 1.*`uv run dvc repro`"):
        load_cells(path, pd.DataFrame({"label": [0], "split": ["test"]}), CPU)
    with pytest.raises(UserError, match=r"its cells have 2 px, and the model was trained on 3"):
        load_cells(path, pd.DataFrame({"label": [0] * 4, "split": ["test"] * 4}), CPU, 3)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="mmap length is greater than file size"):
        CellFile(path)


def test_a_file_that_is_cut_while_it_is_read_is_said_and_not_taken_for_cells(tmp_path: Path) -> None:
    path = tmp_path / "cells.npy"
    np.save(path, np.ones((4, 2, 2, 3), np.uint8))
    cells = CellFile(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    assert cells[torch.tensor([2])].all()
    with pytest.raises(OSError, match=r"cells.npy was cut short while it was read"):
        cells[torch.tensor([3])]


def test_reading_the_file_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "cells.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(4000, 128, 128, 3))  # 197 MB, a hole on disk
    cells, before = CellFile(path), _resident()
    for rows in torch.arange(len(cells)).split(100):
        cells[rows]
    assert _resident() - before < 50


def _resident() -> float:
    """MB of this process in memory, mapped files included."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs Linux's /proc")
    return int(status.read_text().split("VmRSS:")[1].split()[0]) / 1000
