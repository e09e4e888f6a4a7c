"""Assign each cell to train, val or test: `python -m stages split`.

Reads:    data/cells.csv; data/unsegmented.csv: name, the cells to drop where preprocess.unsegmented is drop
Writes:   data/split.csv: name,label,patient, photo where cells.csv has it, and split, a row for each of cells.csv; the
          split of a cell that takes part in nothing is `dropped`
Params:   split, preprocess.unsegmented
"""

from pathlib import Path

import pandas as pd

from malaria.core.artifacts import write_csv
from malaria.core.errors import UserError
from malaria.data.index import COLUMNS, read_index
from malaria.data.splits import assign_splits, summarise_split
from malaria.params import Params, Split, Unsegmented


def main(params: Params) -> None:
    """Run the stage."""
    cells = read_index(Path("data/cells.csv"))
    dropped = find_dropped(cells, params.preprocess.unsegmented)
    table = cells[[column for column in (*COLUMNS, "photo") if column in cells]]
    table = table.assign(split=split_others(cells, dropped, params.split))
    write_csv(Path("data/split.csv"), table)
    print(summarise_split(table).to_string(index=False))
    if dropped.any():
        print(f"{dropped.sum():,} cells are dropped, in which none was segmented: data/unsegmented.csv")


def find_dropped(cells: pd.DataFrame, unsegmented: Unsegmented) -> pd.Series:
    """Whether each cell is dropped, because preprocess segmented none in its image."""
    names = read_index(Path("data/unsegmented.csv")).name
    return cells.name.isin(names if unsegmented == "drop" else [])


def split_others(cells: pd.DataFrame, dropped: pd.Series, params: Split) -> pd.Series:
    """The split of each cell; those that are dropped change nothing for the others.

    Raises:
        UserError: the others are too few.
    """
    try:
        return assign_splits(cells[~dropped], params).reindex(cells.index, fill_value="dropped")
    except ValueError as error:
        without = f" without the {dropped.sum():,} that preprocess.unsegmented=drop leaves out" if dropped.any() else ""
        raise UserError(f"data/cells.csv: {len(cells):,} cells{without}: {error}") from None
