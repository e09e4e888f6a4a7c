"""Labels that somebody disputes: the files that `evaluate.doubted` and `evaluate.corrections` name."""

import csv
from pathlib import Path

import pandas as pd

from malaria.core.errors import UserError
from malaria.data.index import CLASSES
from malaria.params import NOTHING

_DOUBTED, _CORRECTIONS = "evaluate.doubted", "evaluate.corrections"
_COLUMNS = {_DOUBTED: ["name"], _CORRECTIONS: ["name", "label"]}
_LABELS: dict[str, int | None] = {  # None: the cell is left out
    **{name.casefold(): label for label, name in enumerate(CLASSES)},
    **{str(label): label for label in range(len(CLASSES))},
    "unsure": None,
    "not a single cell": None,
}

Corrections = dict[str, int | None]  # by the name of the cell: its label, or None where the cell is to be left out


def read_doubted(path: str, split: pd.DataFrame) -> set[str] | None:
    """The names in the file, which may be of other cells too; None where `path` names no file. `split` is split.csv.

    Raises:
        UserError: it cannot be read, has no column `name`, names no cell of the split, or all of test.
    """
    if path == NOTHING:
        return None
    names = {*_read_columns(_DOUBTED, path).name}
    _check_names(_DOUBTED, path, names, split)
    if split.name[split.split == "test"].isin(names).all():
        raise _complaint(_DOUBTED, path, "it names all cells of test, and leaves none to evaluate")
    return names


def read_corrections(path: str, split: pd.DataFrame) -> Corrections | None:
    """The labels in the file, which may be of other cells too; None where `path` names no file. `split` is split.csv.

    Labels are Parasitized or 1, Uninfected or 0, and unsure or not a single cell, which leave the cell out; in any
    case.

    Raises:
        UserError: it cannot be read, lacks a column `name` or `label`, has an unknown label or two labels of one cell,
            names no cell of the split, or leaves out all of test.
    """
    if path == NOTHING:
        return None
    table = _read_columns(_CORRECTIONS, path)
    table["label"] = table.label.str.casefold()
    _check_labels(path, table)
    corrections = {name: _LABELS[label] for name, label in zip(table.name, table.label, strict=True)}
    _check_names(_CORRECTIONS, path, {*corrections}, split)
    if correct_labels(split[split.split == "test"], corrections).empty:
        raise _complaint(_CORRECTIONS, path, "it leaves out all cells of test, and none is left to evaluate")
    return corrections


def correct_labels(cells: pd.DataFrame, corrections: Corrections) -> pd.DataFrame:
    """The cells with corrected labels, without those that are left out. Cells that are not named keep their labels.

    `cells` are rows of split.csv or predictions.csv.
    """
    labels = [corrections.get(name, label) for name, label in zip(cells.name, cells.label, strict=True)]
    return cells.assign(label=labels).dropna(subset="label").astype({"label": int})


def count_changed(cells: pd.DataFrame, corrections: Corrections) -> int:
    """The number of cells to which `corrections` give another label; those that are left out do not count."""
    corrected = correct_labels(cells, corrections)
    return int((corrected.label != cells.label[corrected.index]).sum())


def _read_columns(key: str, path: str) -> pd.DataFrame:
    """The columns of _COLUMNS[key] as text without spaces around; the index is the number of the row in the file."""
    header, rows = _read_rows(key, path)
    needed = _COLUMNS[key]
    if missing := [name for name in needed if name not in header]:
        raise _complaint(key, path, f"no column {' or '.join(missing)}; it has {header[:5]}")
    texts = {number: [(row[name] or "").strip() for name in needed] for number, row in rows}
    filled = {number: text for number, text in texts.items() if any(text)}  # a spreadsheet may end in rows of commas
    return pd.DataFrame.from_dict(filled, orient="index", columns=needed, dtype=str)


def _read_rows(key: str, path: str) -> tuple[list[str], list[tuple[int, dict[str, str | None]]]]:
    """The header, and each row below with its number; a field is None where the row ends before it."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, skipinitialspace=True, strict=True)
            return list(rows.fieldnames or []), [(rows.line_num, row) for row in rows]
    except OSError as error:
        raise _complaint(key, path, str(error.strerror)) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise _complaint(key, path, f"not a CSV file ({error})") from None


def _check_labels(path: str, table: pd.DataFrame) -> None:
    """Refuse a label that is not one of _LABELS, and different labels of one cell."""
    for row, label in table.label[~table.label.isin(list(_LABELS))].items():
        raise _complaint(_CORRECTIONS, path, f"the label {label!r} of row {row} is none of {', '.join(_LABELS)}")
    first: dict[str, int] = {}
    for row, name, label in table.itertuples():
        before = first.setdefault(name, row)
        if _LABELS[label] != _LABELS[table.label[before]]:
            raise _complaint(_CORRECTIONS, path, f"rows {before} and {row} give {name} different labels: remove one")


def _check_names(key: str, path: str, names: set[str], split: pd.DataFrame) -> None:
    if not split.name.isin(names).any():
        like = f"in data/split.csv, where they are like {split.name.iloc[0]}"
        raise _complaint(key, path, f"none of its {len(names):,} names is of a cell {like}")


def _complaint(key: str, path: str, problem: str) -> UserError:
    columns = " and ".join(f"a column {name}" for name in _COLUMNS[key])
    remedy = f"Name a CSV file with {columns}, of cells as in data/split.csv, or {NOTHING}"
    return UserError(f"{key}: {path}: {problem}. {remedy}")
