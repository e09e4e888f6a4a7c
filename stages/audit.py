"""List near-duplicate cells, those in two splits first: `python -m stages audit`.

Reads:    data/cells.npy, data/split.csv
Writes:   plots/duplicates.csv: name,other,label,other_label,split,other_split,distance, a row a pair
Params:   none
"""

from pathlib import Path

import numpy as np

from malaria.core.artifacts import write_csv
from malaria.data.duplicates import list_duplicates
from malaria.data.index import read_index
from malaria.params import Params


def main(params: Params) -> None:
    """Run the stage."""
    split = read_index(Path("data/split.csv"))
    duplicates = list_duplicates(np.load("data/cells.npy", mmap_mode="r"), split)
    write_csv(Path("plots/duplicates.csv"), duplicates)
    across = (duplicates.split != duplicates.other_split).sum()
    print(f"Near-duplicates: {len(duplicates)} pairs of cells, {across} of them in two splits")
    if len(duplicates):
        print(duplicates.head().to_string(index=False))
