"""A trained network and the cells that it is tried on, as each stage after train needs them."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from malaria.cells import Cells, load_cells
from malaria.compute import pick_device
from malaria.model_files import Recipe, load_weights
from malaria.outs import SPLIT_COLUMNS, read_table, reading


@dataclass(frozen=True)
class Trained:
    """The network on its device, how it was made, the table of split.csv, and the cells, in the order of its rows."""

    network: nn.Module
    recipe: Recipe
    split: pd.DataFrame
    cells: Cells

    def rows(self, table: pd.DataFrame) -> torch.Tensor:
        """The places in `cells` of the cells that a table names in its column `name`."""
        places = pd.Series(self.split.index, index=self.split.name)
        return torch.tensor(places[table.name].to_numpy(), device=self.cells.labels.device)


def load_trained(weights: Path, cells: Path, split: Path) -> Trained:
    """The network of a .safetensors file, with what a cells.npy and the split.csv of its rows hold.

    Raises:
        UserError: one is not there or damaged, or they are not of each other.
    """
    device = pick_device()
    table = read_table(split, SPLIT_COLUMNS)
    with reading(weights):
        network, recipe = load_weights(weights)
    return Trained(network.to(device), recipe, table, load_cells(cells, table, device, recipe.size))
