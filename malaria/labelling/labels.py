"""One reader's labels in a CSV file, which `malaria adapt`, `malaria evaluate` and `download.source=own` read.

image,label,patient,photo,chosen
IMG_1/0007.png,Parasitized,P1,IMG_1.jpg,active
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

import pandas as pd

from malaria.core.artifacts import write_csv
from malaria.core.errors import UserError
from malaria.data.index import CLASSES, SET_ASIDE
from malaria.data.spreadsheet import read_columns
from malaria.sources._labels import refuse

LABELS = (*reversed(CLASSES), *SET_ASIDE)  # that a person can give
COLUMNS = ("image", "label", "patient", "photo", "chosen")

Chosen = Literal["random", "active", "clicked"]  # how a cell was chosen to be labelled


@dataclass(frozen=True)
class Row:
    """The label of a cell, one of LABELS, and where the cell is from; patient and photo are empty where unknown."""

    label: str
    patient: str
    photo: str
    chosen: Chosen


class LabelFile:
    """The labels in a file, which is read if it exists. Each change is on disk when its method returns.

    A change that cannot be written raises OSError, and leaves the labels and the file as they were. Columns other than
    COLUMNS are not kept.

    Raises:
        UserError: the file is no such table, or has an unknown label or way to choose, or an image twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows = _read(path) if path.exists() else {}
        self._changes: list[tuple[str, str | None]] = []  # image and previous label, of each call of `set`

    @property
    def labels(self) -> Mapping[str, Row]:
        """By image, a path relative to the folder of the file with forward slashes, in the order of labelling."""
        return MappingProxyType(self._rows)

    def set(self, image: str, label: str, patient: str, photo: str, chosen: Chosen) -> None:
        """Label a cell, or give it another label: a cell that was chosen at random remains so."""
        before = self._rows.get(image)
        if before and chosen != "random":
            chosen = before.chosen
        self._write(self._rows | {image: Row(label, patient, photo, chosen)})
        self._changes.append((image, before.label if before else None))

    def undo(self) -> str | None:
        """Take back the last `set`, or once all are taken back, the last row; return its image, None if none is left.

        A cell that had another label gets that one again.
        """
        if not self._rows:
            return None
        image, label = self._changes[-1] if self._changes else (next(reversed(self._rows)), None)
        rows = dict(self._rows)
        row = rows.pop(image)
        self._write(rows if label is None else self._rows | {image: replace(row, label=label)})
        del self._changes[-1:]
        return image

    def mark_random(self, image: str) -> None:
        """Count a labelled cell as chosen at random, since a random draw reached it too."""
        self._write(self._rows | {image: replace(self._rows[image], chosen="random")})

    def remove(self, images: Collection[str]) -> None:
        """Forget the labels of some cells, which are there no more."""
        self._changes = [change for change in self._changes if change[0] not in images]
        self._write({image: row for image, row in self._rows.items() if image not in images})

    def set_patient(self, photo: str, patient: str) -> None:
        """Give all labelled cells of a photograph this patient."""
        of_photo = {image: replace(row, patient=patient) for image, row in self._rows.items() if row.photo == photo}
        self._write(self._rows | of_photo)

    def _write(self, rows: dict[str, Row]) -> None:
        """Make these the labels, in the file first; without labels there is no file."""
        if rows:
            table = [{"image": image, **asdict(row)} for image, row in rows.items()]
            write_csv(self.path, pd.DataFrame(table, columns=COLUMNS))
        else:
            self.path.unlink(missing_ok=True)
        self._rows = rows


def _read(path: Path) -> dict[str, Row]:
    table = read_columns(path, needed=COLUMNS, optional=())
    labels, ways = ({name.casefold(): name for name in names} for names in (LABELS, get_args(Chosen)))
    label, chosen = table.label.str.casefold().map(labels), table.chosen.str.casefold().map(ways)
    refuse(path, table.label, label.isna(), "unknown labels", f"Take one of {', '.join(LABELS)}")
    refuse(path, table.chosen, chosen.isna(), "unknown values of chosen", f"Take one of {', '.join(ways)}")
    refuse(path, table.image, table.image.duplicated(keep=False), "the same image twice", "Keep one of these rows")
    table = table.assign(label=label, chosen=chosen)
    return {image: Row(*row) for image, *row in table.itertuples(index=False)}


def reader_path(folder: Path, reader: str) -> Path:
    """The file of a reader's labels: labels-READER.csv.

    Raises:
        UserError: the name has other characters than letters, digits, - and _, or none.
    """
    if not re.fullmatch(r"[\w-]+", reader):
        raise UserError(f"{reader!r} cannot name a reader; take letters, digits, - and _, for instance reader-1")
    return folder / f"labels-{reader}.csv"


def find_readers(folder: Path) -> list[str]:
    """The readers who have labels in a folder, sorted."""
    found = (re.fullmatch(r"labels-([\w-]+)\.csv", path.name) for path in folder.glob("labels-*.csv"))
    return sorted(match[1] for match in found if match)
