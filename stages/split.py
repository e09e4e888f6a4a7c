"""Assign each cell to train, val or test: `python -m stages split`.

Reads:    data/cells.csv
Writes:   data/split.csv: the columns of cells.csv, and split
Params:   split
"""

from pathlib import Path

from malaria.core.artifacts import write_csv
from malaria.core.errors import UserError
from malaria.data.index import read_index
from malaria.data.splits import assign_splits, summarise_split
from malaria.params import Params


def main(params: Params) -> None:
    """Run the stage."""
    cells = read_index(Path("data/cells.csv"))
    try:
        cells["split"] = assign_splits(cells, params.split)
    except ValueError as error:
        raise UserError(f"data/cells.csv: {error}") from None
    write_csv(Path("data/split.csv"), cells)
    print(summarise_split(cells).to_string(index=False))
