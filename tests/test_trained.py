"""A trained network comes with the cells that it is tried on, found by name whatever the order of a table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from malaria.files import write_array, write_csv
from malaria.trained import load_trained
from small_model import make_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three cells, each of one grey, and a network."""
    make_model(tmp_path / "models")
    names = ["Parasitized/a.png", "Uninfected/b.png", "Uninfected/c.png"]
    split = pd.DataFrame({"name": names, "label": [1, 0, 0], "patient": "C1", "smear": "s", "split": "test"})
    write_csv(tmp_path / "split.csv", split)
    write_array(tmp_path / "cells.npy", np.full((3, 32, 32, 3), np.array([10, 20, 30]).reshape(3, 1, 1, 1), np.uint8))
    return tmp_path


def test_cells_are_found_by_name(folder: Path) -> None:
    trained = load_trained(folder / "models/model.safetensors", folder / "cells.npy", folder / "split.csv")
    rows = trained.rows(pd.DataFrame({"name": ["Uninfected/c.png", "Parasitized/a.png"]}))
    assert trained.cells.pixels[rows].float().mean((1, 2, 3)).tolist() == [30.0, 10.0]
    assert trained.recipe.size == 32
    with pytest.raises(KeyError, match=r"d\.png"):
        trained.rows(pd.DataFrame({"name": ["Uninfected/d.png"]}))
