"""The index data/cells.csv: a row a cell, in the order of data/cells.zip, and all that is known of it.

Its columns are `name` (of the image in the archive), `label` (0 or 1) and `patient`: the cells that a split by patient
keeps together, which are those of a photo, or a single cell, where no patient is known. Own cells may have more
columns: `photo`, the photograph that a cell was cut from; `split`, where train, val and test are given; and
`x,y,width,height`, the box of the cell in its photograph (px), where the pipeline cut it. Nothing downstream reads
facts out of file names.
"""

from pathlib import Path
from typing import Literal

import pandas as pd

CLASSES = ("Uninfected", "Parasitized")  # a label is an index into this: the positive class is 1
SET_ASIDE = ("not a single cell", "unsure")  # what a person may say instead; such cells are left out
COLUMNS = ["name", "label", "patient"]
PLACES = ["cell", "x", "y", "width", "height", "kind", "mask_quality"]  # of a cell in a photograph that is predicted
SPLITS = ("train", "val", "test")

Group = Literal["patient", "photo", "cell"]


def read_index(path: Path) -> pd.DataFrame:
    """The table of cells.csv, or of split.csv or predictions.csv, which have more columns; none may be NaN.

    Patients and photos are text.
    """
    return pd.read_csv(path, dtype={"name": str, "patient": str, "photo": str}, keep_default_na=False)


def describe_groups(index: pd.DataFrame) -> Group:
    """What the column `patient` holds: patients, or photos or single cells in their place."""
    if (index.patient == index.name).all():
        return "cell"
    if "photo" in index and (index.patient == index.photo).all():
        return "photo"
    return "patient"
