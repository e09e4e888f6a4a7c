"""Say of each cell whether it trains, validates or tests: `python -m stages.split`.

Reads:    data/cells.zip, of which only the names.
Writes:   data/split.csv: name,label,patient,smear,split; a row a cell, sorted by name.
Tuned by: split.* in params.yaml.
"""

from pathlib import Path

import pandas as pd

from malaria.archive import cell_names
from malaria.errors import UserError
from malaria.files import write_csv
from malaria.params import Split, load_params
from malaria.splits import assign_splits, describe_cells, summarise_split
from malaria.stage import run


def split(names: list[str], params: Split) -> pd.DataFrame:
    """The table of split.csv.

    Raises:
        UserError: a name says no patient, or the cells cannot be split that way.
    """
    try:
        cells = describe_cells(names)
        cells["split"] = assign_splits(cells, params.by, params.folds, params.fold, params.val, params.seed)
    except ValueError as error:
        raise UserError(f"data/cells.zip: {error}") from None
    return cells


def main() -> None:
    """The stage."""
    params = load_params().split
    cells = split(cell_names(Path("data/cells.zip")), params)
    write_csv(Path("data/split.csv"), cells)
    print(summarise_split(cells).to_string(index=False))


if __name__ == "__main__":
    run(main)
