"""Your own labelled cells: a folder for each class, or a table with a row for each image.

    cells/healthy/P1/a.png        cells/labels.csv:  image,label,patient,photo,split
    cells/infected/P2/b.png                          crops/a.png,infected,P1,IMG_1.jpg,train

A folder within a class folder is a patient. A table needs the columns image and label, and its paths are relative to
its own folder. Where a folder has both, the table is read. The patient of a cell is its photo, or else the cell itself,
where none is given.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

import pandas as pd
from tqdm import tqdm

from malaria.core.archive import read_file, write_archive
from malaria.core.errors import UserError
from malaria.data.image_files import find_images
from malaria.data.index import CLASSES, COLUMNS, SPLITS
from malaria.params import Download
from malaria.sources._spreadsheet import read_columns, some

TABLE = "labels.csv"

_MADE_OF = f"a folder for each class, named as in download.classes, or {TABLE}: image,label[,patient][,photo][,split]"

Labels = dict[str, int]  # a name in lower case -> 0 or 1


def write_cells(params: Download, path: Path) -> pd.DataFrame:
    """Write the cells of `download.path` as an archive, and return their index.

    Raises:
        UserError: they cannot be read, or not all of them have a label. `path` is then as it was.
    """
    source = Path(params.path)
    table = read_labels(source, params.classes)
    if source.is_file():
        rename = "" if source.name == TABLE else f", with the table renamed to {TABLE}"
        print(
            f"{source}: DVC tracks this table alone. For changed images to make download stale too, set "
            f"download.path={source.parent}{rename}",
            file=sys.stderr,
        )
    return write_labelled(table, path)


def read_labels(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    """The labelled cells of a folder or CSV file, a row each; `classes` are their names, of the uninfected cells first.

    Columns:
        name: path in the archive, unique: relative to the folder, or to that of the CSV file.
        label: 0 or 1.
        patient: the cells that are never divided between splits; where no patient is known the photo, else the name.
        photo, split: where the table gives them; train, val or test.
        file: path of the image, which exists but was not opened.

    Raises:
        UserError: naming the file and rows that are wrong, and what to do.
    """
    labels = _name_labels(classes)
    if path.is_file():
        table = _read_table(path, labels)
    elif (path / TABLE).is_file():
        table = _read_table(path / TABLE, labels)
    elif path.is_dir():
        table = _read_folders(path, classes)
    else:
        raise UserError(f"{path}: no such file or folder; give {_MADE_OF}")
    if table.label.nunique() < 2:
        there = [CLASSES[label] for label in table.label.unique()]
        raise UserError(f"{path}: {len(table):,} cells of {some(there) or 'no class'} alone; add cells of both classes")
    return table.reset_index(drop=True)


def write_labelled(table: pd.DataFrame, archive_path: Path) -> pd.DataFrame:
    """Write the images of a table of `read_labels`, as they are, as an archive; return its index, in the same order.

    Raises:
        UserError: an image cannot be read.
    """
    table = table.sort_values("name", ignore_index=True)
    members = _read_images(table)
    with tqdm(members, archive_path.name, len(table), unit="cell", delay=0.5, disable=None) as cells:
        write_archive(archive_path, cells)
    return table.drop(columns="file")


def _read_images(table: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    for name, file in zip(table.name, table.file, strict=True):
        try:
            yield name, read_file(Path(file))
        except ValueError as error:
            raise UserError(f"{file}: {error}") from None
        except OSError as error:
            raise UserError(f"{file}: cannot be read ({error.strerror}); restore it, or remove it") from None


def _name_labels(classes: Sequence[str]) -> Labels:
    """What may stand for a label: 0 and 1, Uninfected and Parasitized, and the names of the classes."""
    labels = {"0": 0, "1": 1} | {name.casefold(): label for label, name in enumerate(CLASSES)}
    for label, name in enumerate(classes):
        if labels.setdefault(name.strip().casefold(), label) != label:
            raise UserError(
                f"download.classes: {name} would mean both {CLASSES[0]} and {CLASSES[1]}; give two names, of the "
                f"uninfected cells first (they are {', '.join(classes)})"
            )
    return labels


# Folders


def _read_folders(folder: Path, classes: Sequence[str]) -> pd.DataFrame:
    """The images in the folders named for a class."""
    labels = {name.strip().casefold(): label for label, name in enumerate(classes)}
    entries = sorted(folder.iterdir())
    found = {entry: labels[name] for entry in entries if (name := entry.name.casefold()) in labels and entry.is_dir()}
    if missing := [name for label, name in enumerate(classes) if label not in found.values()]:
        raise UserError(
            f"{folder}: no folder {' or '.join(missing)}, and no {TABLE}. It has "
            f"{some(entry.name + '/' * entry.is_dir() for entry in entries) or 'nothing'}. Give {_MADE_OF}"
        )
    rows = [row for entry, label in found.items() for row in _list_class(entry, label)]
    return pd.DataFrame(rows, columns=[*COLUMNS, "file"])


def _list_class(folder: Path, label: int) -> Iterator[tuple[str, int, str, str]]:
    """The name, label, patient and file of each image in the folder of a class, at any depth."""
    for image in find_images([str(folder)]):
        if image.problem:
            raise UserError(f"{image.path}: {image.problem}")
        inside = image.path[len(str(folder)) + 1 :].replace(os.sep, "/")
        name = f"{folder.name}/{inside}"
        if name != name.encode(errors="ignore").decode():
            raise UserError(f"{folder.parent}: {name!r} is not UTF-8; rename it")
        if "/." not in name:
            yield name, label, inside.split("/")[0] if "/" in inside else name, image.path


# Tables: a row is called by its number in the spreadsheet until all are checked


def _read_table(path: Path, labels: Labels) -> pd.DataFrame:
    """The images of a CSV file."""
    rows = read_columns(path, needed=("image", "label"), optional=("patient", "photo", "split"))
    rows["image"] = rows.image.str.replace("\\", "/")  # as Windows writes paths
    _refuse(path, rows.image, rows.image == "", "no image", "Name one, or remove the row")
    folder = Path(os.path.abspath(path.parent))  # noqa: PTH100 (which does not follow links)
    names = [_name_image(image, folder) for image in rows.image]
    table = pd.DataFrame({"name": names, "label": _read_label(path, rows, labels)}, index=rows.index)
    table["patient"] = _find_patient(rows, table.name)
    if "photo" in rows and rows.photo.any():
        table["photo"] = rows.photo
    if "split" in rows and rows["split"].any():
        table["split"] = _read_split(path, rows, table.patient)
    table["file"] = [str(path.parent / image) for image in rows.image]
    return _check_images(path, rows, table)


def _name_image(image: str, folder: Path) -> str:
    """Its path in the archive: relative to the folder, without the `../` or root of what lies outside."""
    if (path := PurePath(image)).is_absolute():
        image = str(path.relative_to(folder if path.is_relative_to(folder) else path.anchor))
    return "/".join(part for part in PurePath(os.path.normpath(image)).parts if part != "..")


def _read_label(path: Path, rows: pd.DataFrame, labels: Labels) -> pd.Series:
    label = rows.label.str.casefold().map(labels)
    remedy = f"Take one of {', '.join(labels)}; or name yours in download.classes, that of uninfected cells first"
    _refuse(path, rows.label, label.isna(), "unknown labels", remedy)
    return label.astype("int64")


def _find_patient(rows: pd.DataFrame, names: pd.Series) -> pd.Series:
    """The patient; where it is empty the photo, and where that is too the name of the cell."""
    patient = names
    for column in ("photo", "patient"):
        if column in rows:
            patient = rows[column].where(rows[column] != "", patient)
    return patient


def _read_split(path: Path, rows: pd.DataFrame, patients: pd.Series) -> pd.Series:
    split = rows["split"].str.casefold()
    _refuse(path, split, ~split.isin(SPLITS), "unknown splits", f"Take {', '.join(SPLITS)} in every row, or in none")
    both = (split == "test").groupby(patients).transform("nunique") > 1
    _refuse(path, patients, both, "patients in test and also in train or val", "Move all cells of a patient to one")
    return split


def _check_images(path: Path, rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The table with each image once; rows of the same image must agree, and their files exist."""
    twice = table.name.duplicated(keep=False)
    table.loc[twice, "file"] = table.file[twice].map(os.path.realpath)  # of which one image has one
    table = table.drop_duplicates()
    twice = table.name.duplicated(keep=False)
    differ = table[twice].groupby("name").nunique().gt(1).any()
    problem = f"the same image with another {' and '.join(differ.index[differ])}"
    _refuse(path, rows.image, twice, problem, "Keep one of these rows; rename the image where it is another file")
    missing = [not os.path.isfile(file) for file in table.file]  # noqa: PTH113 (which takes any text for a path)
    remedy = f"Restore them, or correct their paths, which are relative to {path.parent}"
    _refuse(path, rows.image, pd.Series(missing, table.index), "missing images", remedy)
    return table


def _refuse(path: Path, values: pd.Series, wrong: pd.Series, problem: str, remedy: str) -> None:
    """Raise UserError if some rows are wrong, naming them and their values."""
    if wrong.any():
        rows = wrong.index[wrong]
        found = f": {some(values[rows].unique())}" if values[rows].any() else ""
        raise UserError(f"{path}: {problem} in row{'s'[: len(rows) > 1]} {some(map(str, rows))}{found}. {remedy}")
