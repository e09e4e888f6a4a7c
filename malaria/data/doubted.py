"""Cells whose labels were doubted: the file that `evaluate.doubted` names."""

import csv
from pathlib import Path

import pandas as pd

from malaria.core.errors import UserError
from malaria.params import NOTHING

_REMEDY = f"Name a CSV file with a column name, of cells as in data/split.csv, or {NOTHING}"


def read_doubted(path: str, split: pd.DataFrame) -> set[str] | None:
    """The names in the file, which may be of other cells too; None where `path` names no file. `split` is split.csv.

    Raises:
        UserError: it cannot be read, has no column `name`, names no cell of the split, or all of test.
    """
    if path == NOTHING:
        return None
    names = _read_names(Path(path))
    if not split.name.isin(names).any():
        raise UserError(
            f"evaluate.doubted: {path}: none of its {len(names):,} names is of a cell in data/split.csv, where they "
            f"are like {split.name.iloc[0]}. {_REMEDY}"
        )
    if split.name[split.split == "test"].isin(names).all():
        raise UserError(f"evaluate.doubted: {path}: it names all cells of test, and leaves none to evaluate. {_REMEDY}")
    return names


def _read_names(path: Path) -> set[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, skipinitialspace=True, strict=True)
            columns, names = rows.fieldnames or [], {(row.get("name") or "").strip() for row in rows}
    except OSError as error:
        raise UserError(f"evaluate.doubted: {path}: {error.strerror}. {_REMEDY}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"evaluate.doubted: {path}: not a CSV file ({error}). {_REMEDY}") from None
    if "name" not in columns:
        raise UserError(f"evaluate.doubted: {path}: no column name; it has {list(columns)[:5]}. {_REMEDY}")
    return names
