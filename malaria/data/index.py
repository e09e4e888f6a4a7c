"""The index data/cells.csv: a row a cell, in the order of data/cells.zip, and all that is known of it.

Its columns are `name` (of the image in the archive), `label` (0 or 1) and `patient`. Nothing downstream reads facts out
of file names.
"""

from pathlib import Path

import pandas as pd

CLASSES = ("Uninfected", "Parasitized")  # a label is an index into this: the positive class is 1
COLUMNS = ["name", "label", "patient"]


def read_index(path: Path) -> pd.DataFrame:
    """The table of cells.csv, or of split.csv, which has a column `split` besides. Patients are text."""
    return pd.read_csv(path, dtype={"name": str, "patient": str}, keep_default_na=False)
