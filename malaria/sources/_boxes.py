"""Labelled boxes in photographs: the table that every format is read into, and the CSV files.

    photo,x,y,width,height,label,patient,split
    photos/IMG_1.jpg,312,80,41,43,infected,P1,train

`x` and `y` are the upper left corner of the box, px of the photograph as it is shown upright.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

import pandas as pd

from malaria.core.errors import UserError
from malaria.data.spreadsheet import read_columns
from malaria.sources._labels import Labels, find_patient, read_label, read_split, refuse

PLACE = ["x", "y", "width", "height"]  # px
COLUMNS = ("photo", *PLACE, "label")

Row = tuple[str, float, float, float, float, str]  # file, x, y, width, height, label

_FOLDERS = ("images", "JPEGImages")  # where photographs are, as annotation tools export them
_LARGEST = 1e6  # px, of a coordinate: far more than a photograph has
_KEYS = ["photo", *PLACE]


def is_box_table(columns: Sequence[str]) -> bool:
    """Whether a CSV file with these columns is of boxes; that of crops has the column image."""
    return "image" not in columns and bool({"photo", *PLACE} & set(columns))


def read_csv(path: Path) -> pd.DataFrame:
    """The boxes of a CSV file, as `check_boxes` takes them; photos are relative to its folder.

    Raises:
        UserError: it lacks a column, or a number is none.
    """
    rows = read_columns(path, needed=COLUMNS, optional=("patient", "split"))
    refuse(path, rows.photo, rows.photo == "", "no photo", "Name one, or remove the row")
    for column in PLACE:
        numbers = pd.to_numeric(rows[column].str.replace(",", "."), errors="coerce")  # 1,5 as a German Excel writes it
        refuse(path, rows[column], numbers.isna(), f"{column} is no number", "Give px of the photograph")
        rows[column] = numbers.astype(float)
    rows["file"] = [str(path.parent / photo) for photo in rows.photo.str.replace("\\", "/")]
    return rows.drop(columns="photo")


def to_rows(boxes: Iterable[Row], places: pd.Index) -> pd.DataFrame:
    """Boxes as `check_boxes` takes them; `places` says where each was read."""
    rows = pd.DataFrame(boxes, places, columns=["file", *PLACE, "label"])
    return rows.astype({"file": str, "label": str} | dict.fromkeys(PLACE, float)).assign(label=rows.label.str.strip())


def find_photo(folder: Path, name: str) -> str:
    """The file that an annotation file in `folder` calls `name`: beside it, or in a folder of images."""
    places = [folder, *(above / images for above in (folder, folder.parent) for images in _FOLDERS)]
    files = [os.path.join(place, name.replace("\\", "/")) for place in places]  # noqa: PTH118
    return next((file for file in files if os.path.isfile(file)), files[0])  # noqa: PTH113 (which takes any text)


def check_boxes(path: Path, folder: Path, rows: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """The labelled boxes of `path` with a name each; photographs are named relative to `folder`.

    Args:
        path: where they were read, for messages.
        folder: of the photographs.
        rows: file, x, y, width, height (float, px), label (text), and patient and split where they are given. The
            index says where each was read, and its name what such a place is called.
        labels: of `name_labels`.

    Returns:
        The columns of `malaria.sources.own.read_labels`.

    Raises:
        UserError: naming the rows that are wrong, and what to do.
    """
    _check_places(path, rows)
    rows = rows.assign(photo=_name_photos(path, folder, rows.file))
    table = pd.DataFrame({"label": read_label(path, rows, labels), "patient": find_patient(rows, rows.photo)})
    _refuse_two(path, rows.photo, table.patient, "patients", "A photograph is of one patient")
    table["photo"] = rows.photo
    if "split" in rows and rows["split"].any():
        table["split"] = read_split(path, rows, table.patient)
    return _number(_drop_repeated(path, table.join(rows[[*PLACE, "file"]])))


def _check_places(path: Path, rows: pd.DataFrame) -> None:
    """Raise UserError where numbers are no boxes."""
    for column in PLACE:
        wrong = ~(rows[column].abs() < _LARGEST)
        refuse(path, rows[column], wrong, f"{column} is out of any photograph", "Give px of the photograph")
    for column in ("width", "height"):
        refuse(path, rows[column], rows[column] <= 0, f"no {column}", "A box needs a width and a height above 0")


def _name_photos(path: Path, folder: Path, files: pd.Series) -> pd.Series:
    """The photographs relative to the folder, without the `../` of those that lie outside."""
    missing = [not os.path.isfile(file) for file in files]  # noqa: PTH113 (which takes any text for a path)
    remedy = "Restore them, or correct their paths"
    refuse(path, files, pd.Series(missing, files.index, dtype=bool), "missing photos", remedy)
    names = {file: _name(os.path.relpath(file, folder)) for file in files.unique()}
    photos = files.map(names).astype(object)
    unwritable = photos.map(lambda name: name != name.encode(errors="ignore").decode()).astype(bool)
    refuse(path, photos, unwritable, "names that are not UTF-8", "Rename the photographs")
    _refuse_two(path, photos, files.map(os.path.realpath), "files", "Rename one of them")
    return photos


def _name(path: str) -> str:
    return "/".join(part for part in PurePath(path).parts if part != "..")


def _refuse_two(path: Path, photos: pd.Series, values: pd.Series, what: str, remedy: str) -> None:
    """Raise UserError where a photograph has more than one of the values."""
    wrong = values.groupby(photos).transform("nunique") > 1
    refuse(path, photos, wrong, f"a photo of two {what}", remedy)


def _drop_repeated(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """The table with each box once."""
    table = table[~table.drop(columns="file").duplicated()]
    twice = table.duplicated(_KEYS, keep=False)
    refuse(path, table.photo, twice, "the same box with another label or split", "Keep one of them")
    return table


def _number(table: pd.DataFrame) -> pd.DataFrame:
    """Name each box for its photograph and its place from top to bottom, so that the order of the rows is no matter."""
    table = table.sort_values(["photo", "y", "x", "height", "width"])
    number = table.groupby("photo").cumcount() + 1
    names = [f"{photo}/{n:04}.png" for photo, n in zip(table.photo, number, strict=True)]
    table.insert(0, "name", names)
    return table


def read_text(path: Path) -> str:
    """The text of an annotation file, in UTF-8.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save it as UTF-8") from None
