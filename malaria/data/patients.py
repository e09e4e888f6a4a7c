"""The patients of images or photographs, from a CSV file."""

from pathlib import Path

from malaria.core.errors import UserError
from malaria.data.names import Names
from malaria.data.spreadsheet import parse_columns


class Patients:
    """The rows of a CSV file with the columns image (or photo) and patient.

    Raises:
        UserError: it is no CSV file, or lacks a column.
    """

    def __init__(self, data: bytes, name: str) -> None:
        table = parse_columns(data, name, needed=("patient",), optional=("image", "photo"))
        column = next((column for column in ("image", "photo") if column in table), None)
        if column is None:
            raise UserError(f"{name}: no column image or photo; its first row must name the columns: image,patient")
        self.table = dict(zip(table[column], table.patient, strict=True))
        self._names = Names(self.table)
        self.missing: list[str] = []  # what `find` did not find

    def find(self, image: str) -> str:
        """The patient of an image; empty where no row is of it, or no patient is in the row."""
        row = self._names.find(image)
        if row is None:
            self.missing.append(image)
        return self.table[row] if row is not None else ""

    def describe_missing(self) -> str:
        """How many images no row is of, the first of them, and the row most like it; empty if there is none."""
        if not self.missing:
            return ""
        first, nearest = self.missing[0], self._names.find_nearest(self.missing[0])
        more = f", nor of {len(self.missing) - 1:,} more images" if len(self.missing) > 1 else ""
        return f"no row is of {first!r}{more}" + (f"; the nearest to it is {nearest!r}" if nearest else "")


def read_patients(path: Path) -> Patients:
    """The patients of a CSV file.

    Raises:
        UserError: it cannot be read, is no CSV file, or lacks a column.
    """
    try:
        return Patients(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
