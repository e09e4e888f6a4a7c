"""What the tables of crops and of boxes share: labels, patients, splits, and errors that name the rows."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from malaria.core.errors import UserError
from malaria.data.index import CLASSES, SET_ASIDE, SPLITS
from malaria.data.spreadsheet import some

Labels = dict[str, int]  # a name in lower case -> 0 or 1


def name_labels(classes: Sequence[str]) -> Labels:
    """What may stand for a label: 0 and 1, Uninfected and Parasitized, and the names of the classes."""
    labels = {"0": 0, "1": 1} | {name.casefold(): label for label, name in enumerate(CLASSES)}
    for label, name in enumerate(classes):
        if labels.setdefault(name.strip().casefold(), label) != label:
            raise UserError(
                f"download.classes: {name} would mean both {CLASSES[0]} and {CLASSES[1]}; give two names, of the "
                f"uninfected cells first (they are {', '.join(classes)})"
            )
    return labels


def drop_set_aside(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows without those whose label says that a person gave none."""
    return rows[~rows.label.str.casefold().isin(SET_ASIDE)]


def read_label(path: Path, rows: pd.DataFrame, labels: Labels) -> pd.Series:
    """The column `label` as 0 and 1.

    Raises:
        UserError: naming every label that is neither.
    """
    label = rows.label.str.casefold().map(labels)
    remedy = (
        f"Take one of {', '.join(labels)}; or name yours in download.classes (--classes of adapt and evaluate), "
        "that of uninfected cells first, and remove what is of neither"
    )
    refuse(path, rows.label, label.isna(), "unknown labels", remedy)
    return label.astype("int64")


def find_patient(rows: pd.DataFrame, names: pd.Series) -> pd.Series:
    """The patient; where it is empty the photo, and where that is too the name of the cell."""
    patient = names
    for column in ("photo", "patient"):
        if column in rows:
            patient = rows[column].where(rows[column] != "", patient)
    return patient


def read_split(path: Path, rows: pd.DataFrame, patients: pd.Series) -> pd.Series:
    """The column `split` as train, val and test.

    Raises:
        UserError: one is another or missing, or a patient is in test and also in train or val.
    """
    split = rows["split"].str.casefold()
    refuse(path, split, ~split.isin(SPLITS), "unknown splits", f"Take {', '.join(SPLITS)} in every row, or in none")
    both = (split == "test").groupby(patients).transform("nunique") > 1
    refuse(path, patients, both, "patients in test and also in train or val", "Move all cells of a patient to one")
    return split


def refuse(path: Path, values: pd.Series, wrong: pd.Series, problem: str, remedy: str) -> None:
    """Raise UserError if some rows are wrong, naming them and their values.

    A row is called as the name of the index says, or else a row.
    """
    if wrong.any():
        rows = wrong.index[wrong]
        found = f": {some(map(str, values[wrong].unique()))}" if values[wrong].any() else ""
        called = f"{wrong.index.name or 'row'}{'s'[: len(rows) > 1]}"
        raise UserError(f"{path}: {problem} in {called} {some(map(str, rows))}{found}. {remedy}")
