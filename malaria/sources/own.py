"""Your own labelled cells: a folder for each class, or a table with a row for each image.

    cells/healthy/P1/a.png        cells/labels.csv:  image,label,patient,photo,split
    cells/infected/P2/b.png                          crops/a.png,infected,P1,IMG_1.jpg,train

A folder within a class folder is a patient. A table needs the columns image and label, and its paths are relative to
its own folder. Where a folder has both, the table is read. The patient of a cell is its photo, or else the cell itself,
where none is given. Rows whose label is `unsure` or `not a single cell` are left out, of crops and of boxes.

Or photographs with labelled boxes, which are segmented: the cell that a box marks gets its label. Boxes are in a table
with the columns of `malaria.sources._boxes`, or in the formats of COCO (JSON), Pascal VOC (XML) or YOLO (text files).
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from types import ModuleType

import pandas as pd
from tqdm import tqdm

from malaria.core.archive import read_file, write_archive
from malaria.core.errors import UserError
from malaria.data.image_files import find_images
from malaria.data.index import CLASSES, COLUMNS
from malaria.data.names import Names
from malaria.data.spreadsheet import read_columns, read_header, some
from malaria.params import Download
from malaria.sources import _coco, _voc, _yolo
from malaria.sources._boxes import check_boxes, is_box_table, read_csv
from malaria.sources._labels import Labels, drop_set_aside, find_patient, name_labels, read_label, read_split, refuse

TABLE = "labels.csv"
FORMATS: dict[str, ModuleType] = {".json": _coco, ".xml": _voc, "": _yolo}  # suffix of a file that may be given alone

_MADE_OF = (
    f"a folder for each class, named as in download.classes (--classes of adapt and evaluate), or {TABLE}: "
    "image,label[,patient][,photo][,split]; or "
    f"photographs with boxes: {TABLE}: photo,x,y,width,height,label[,patient][,split], or COCO's JSON, Pascal VOC's "
    "XML or YOLO's text files"
)


def write_cells(params: Download, path: Path) -> pd.DataFrame:
    """Write the cells of `download.path` as an archive, and return their index.

    Raises:
        UserError: they cannot be read, or not all of them have a label. `path` is then as it was.
    """
    source = Path(params.path)
    table = read_labels(source, params.classes)
    if source.is_file():
        rename = "" if source.name == TABLE or source.suffix in FORMATS else f", with the table renamed to {TABLE}"
        print(
            f"{source}: DVC tracks this file alone. For changed images to make download stale too, set "
            f"download.path={source.parent}{rename}",
            file=sys.stderr,
        )
    return write_labelled(table, path)


def read_labels(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    """The labelled cells of a folder or file, a row each; `classes` are their names, of the uninfected cells first.

    Columns:
        name: path in the archive, unique: relative to the folder, or to that of the file. Of a box it is the name of
            the photograph and the number of the box in it.
        label: 0 or 1.
        patient: the cells that are never divided between splits; where no patient is known the photo, else the name.
        photo, split: where they are given; train, val or test.
        x, y, width, height: of a box in a photograph, px; there where photographs were given.
        file: path of the image or photograph, which exists but was not opened.

    Raises:
        UserError: naming the file and rows that are wrong, and what to do.
    """
    labels = name_labels(classes)
    if path.is_file():
        table = _read_file(path, labels)
    elif (path / TABLE).is_file():
        table = _read_table(path / TABLE, labels)
    elif path.is_dir():
        table = _read_folder(path, classes, labels)
    else:
        raise UserError(f"{path}: no such file or folder; give {_MADE_OF}")
    if table.label.nunique() < 2:
        there = [CLASSES[label] for label in table.label.unique()]
        raise UserError(f"{path}: {len(table):,} cells of {some(there) or 'no class'} alone; add cells of both classes")
    return table.reset_index(drop=True)


def write_labelled(table: pd.DataFrame, archive_path: Path) -> pd.DataFrame:
    """Write the cells of a table of `read_labels` as an archive; return its index, in the same order.

    Images are written as they are. Of photographs the cells that boxes mark are cut out; x, y, width and height are
    then those of the cells, and boxes that mark none are left out.

    Raises:
        UserError: an image cannot be read, or not all classes are among the cells.
    """
    if "x" in table:
        from malaria.sources._photographs import cut_cells  # with scikit-image a second, and crops do without

        return cut_cells(table, archive_path)
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


def _read_file(path: Path, labels: Labels) -> pd.DataFrame:
    """The boxes of a file of another format, or the rows of a CSV file."""
    if (kind := FORMATS.get(path.suffix.lower())) and path.suffix:
        return check_boxes(path, path.parent, kind.read(path.parent, [path]), labels)
    return _read_table(path, labels)


# Folders


def _read_folder(folder: Path, classes: Sequence[str], labels: Labels) -> pd.DataFrame:
    """The images in the folders of classes, or, where there are none, the boxes of annotation files."""
    names = {name.strip().casefold() for name in classes}
    if not any(entry.name.casefold() in names and entry.is_dir() for entry in folder.iterdir()):
        for kind in FORMATS.values():
            if files := kind.find(folder):
                return check_boxes(folder, folder, kind.read(folder, files), labels)
    return _read_folders(folder, classes)


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
    """The images of a CSV file, or its boxes."""
    if is_box_table(read_header(path)):
        return check_boxes(path, path.parent, drop_set_aside(read_csv(path)), labels)
    rows = drop_set_aside(read_columns(path, needed=("image", "label"), optional=("patient", "photo", "split")))
    rows = rows.assign(image=rows.image.str.replace("\\", "/"))  # as Windows writes paths
    refuse(path, rows.image, rows.image == "", "no image", "Name one, or remove the row")
    rows = rows.assign(image=_find_files(rows.image, path.parent))
    folder = Path(os.path.abspath(path.parent))  # noqa: PTH100 (which does not follow links)
    names = [_name_image(image, folder) for image in rows.image]
    table = pd.DataFrame({"name": names, "label": read_label(path, rows, labels)}, index=rows.index)
    table["patient"] = find_patient(rows, table.name)
    if "photo" in rows and rows.photo.any():
        table["photo"] = rows.photo
    if "split" in rows and rows["split"].any():
        table["split"] = read_split(path, rows, table.patient)
    table["file"] = [str(path.parent / image) for image in rows.image]
    return _check_images(path, rows, table)


def _find_files(images: pd.Series, folder: Path) -> list[str]:
    """The paths as they are; where there is no such file, that of the only image of the folder that can be meant."""
    names: Names | None = None
    paths = []
    for image in images:
        if not (folder / image).is_file():
            names = names or Names(_list_images(folder))
            image = names.find(image) or image
        paths.append(image)
    return paths


def _list_images(folder: Path) -> list[str]:
    """The images in a folder and its folders, relative to it."""
    found = (image.path for image in find_images([str(folder)]) if not image.problem)
    return [os.path.relpath(path, folder) for path in found]


def _name_image(image: str, folder: Path) -> str:
    """Its path in the archive: relative to the folder, without the `../` or root of what lies outside."""
    if (path := PurePath(image)).is_absolute():
        image = str(path.relative_to(folder if path.is_relative_to(folder) else path.anchor))
    return "/".join(part for part in PurePath(os.path.normpath(image)).parts if part != "..")


def _check_images(path: Path, rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The table with each image once; rows of the same image must agree, and their files exist."""
    twice = table.name.duplicated(keep=False)
    table.loc[twice, "file"] = table.file[twice].map(os.path.realpath)  # of which one image has one
    table = table.drop_duplicates()
    twice = table.name.duplicated(keep=False)
    differ = table[twice].groupby("name").nunique().gt(1).any()
    problem = f"the same image with another {' and '.join(differ.index[differ])}"
    remedy = (
        "Keep one of these rows; rename the image where it is another file, or its column to photo if rows are boxes"
    )
    refuse(path, rows.image, twice, problem, remedy)
    missing = [not os.path.isfile(file) for file in table.file]  # noqa: PTH113 (which takes any text for a path)
    remedy = f"Restore them, or correct their paths, which are relative to {path.parent}"
    if any(missing):
        first = rows.image[table.index[missing][0]]
        nearest = Names(_list_images(path.parent)).find_nearest(first)
        remedy += f"; the nearest to {first} is {nearest}" if nearest else ""
    refuse(path, rows.image, pd.Series(missing, table.index), "missing images", remedy)
    return table
