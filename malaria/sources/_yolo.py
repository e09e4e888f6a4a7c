"""Labelled boxes in text files of YOLO's format, one a photograph, of the same name and with a line a box.

    images/IMG_1.jpg    labels/IMG_1.txt:  1 0.52 0.17 0.031 0.040

A line is the number of the class, then the centre, width and height of the box as shares of the photograph's. The text
may also lie beside the photograph. The classes are named in order in classes.txt, or by `names` in data.yaml.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from PIL import Image, UnidentifiedImageError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from malaria.core.errors import UserError
from malaria.data.decode import FORMATS
from malaria.data.image_files import find_images
from malaria.sources._boxes import Row, read_text, to_rows

_NAMES = ("classes.txt", "data.yaml", "data.yml")
_SHARE = 1.001  # the most a share may be, as rounded
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF: width and height are exchanged

Names = dict[int, str]


def find(folder: Path) -> list[Path]:
    """The photographs of a folder, at any depth, that have a text file."""
    found = (Path(image.path) for image in find_images([str(folder)]) if not image.problem)
    return [photo for photo in found if _find_text(photo)]


def read(folder: Path, files: Sequence[Path]) -> pd.DataFrame:
    """The boxes of these photographs, as `check_boxes` takes them.

    Raises:
        UserError: a text file is not of YOLO's format; it is named, and the line in it.
    """
    texts = {photo: text for photo in files if (text := _find_text(photo))}
    names = _find_names([folder, *sorted({text.parent for text in texts.values()}), folder.parent])
    if names is None:
        print(f"{folder}: no classes.txt nor data.yaml; class 0 is taken for uninfected cells", file=sys.stderr)
    rows, places = [], []
    for photo, text in texts.items():
        for number, row in _read_boxes(photo, text, names):
            rows.append(row)
            places.append(f"{os.path.relpath(text, folder)}:{number}")
    return to_rows(rows, pd.Index(places, name="line", dtype=object))


def _find_text(photo: Path) -> Path | None:
    """The text file beside the photograph, or in the folder `labels` where that of the photograph is in `images`."""
    texts = [photo.with_suffix(".txt")]
    parts = list(photo.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 1 - parts[::-1].index("images", 1)] = "labels"
        texts.append(Path(*parts).with_suffix(".txt"))
    return next((text for text in texts if text.is_file() and text.name not in _NAMES), None)


def _find_names(folders: Sequence[Path]) -> Names | None:
    """The names of the classes, from the first of the folders that has them."""
    files = [folder / name for folder in folders for name in _NAMES]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return None
    if file.suffix == ".txt":
        return dict(enumerate(line.strip() for line in read_text(file).strip().splitlines()))
    return _read_yaml(file)


def _read_yaml(file: Path) -> Names:
    try:
        content = YAML(typ="safe", pure=True).load(read_text(file))
    except (YAMLError, RecursionError) as error:
        raise UserError(f"{file}: not YAML ({' '.join(str(error).split())})") from None
    names = content.get("names") if isinstance(content, dict) else None
    names = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(names, dict) or not all(type(n) is int and isinstance(name, str) for n, name in names.items()):
        raise UserError(f"{file}: no names of classes; give `names: [healthy, infected]`, or names by number")
    return names


def _read_boxes(photo: Path, text: Path, names: Names | None) -> Iterator[tuple[int, Row]]:
    """The line numbers and boxes of a photograph."""
    width, height = _measure(photo)
    for number, line in enumerate(read_text(text).splitlines(), 1):
        if not line.strip():
            continue
        try:
            kind, x, y, w, h = _read_line(line)
            label = _name(kind, names)
        except ValueError as error:
            raise UserError(f"{text}: line {number}: {error}") from None
        yield number, (str(photo), (x - w / 2) * width, (y - h / 2) * height, w * width, h * height, label)


def _read_line(line: str) -> tuple[int, float, float, float, float]:
    try:
        kind, x, y, w, h = (convert(field) for convert, field in zip([int, *[float] * 4], line.split(), strict=True))
    except ValueError:
        raise ValueError(f"{line.strip()[:60]!r} is no box; give: class centre_x centre_y width height") from None
    if not all(0 <= share <= _SHARE for share in (x, y, w, h)):
        raise ValueError("shares of the photograph are 0 to 1; divide px by its width and height")
    return int(kind), x, y, w, h


def _name(kind: int, names: Names | None) -> str:
    """The label of a class; without names 0 and 1 are labels themselves."""
    if names is None:
        return str(kind)
    if kind not in names:
        raise ValueError(f"class {kind} has no name; the names are {', '.join(names.values())}")
    return names[kind]


def _measure(photo: Path) -> tuple[int, int]:
    """The width and height of a photograph as it is shown upright, px, from its header."""
    try:
        with Image.open(photo, formats=FORMATS) as image:
            turned = image.getexif().get(_ORIENTATION) in _TURNED
            return image.size[::-1] if turned else image.size
    except UnidentifiedImageError:
        raise UserError(f"{photo}: not a PNG, JPEG, TIFF, BMP or WebP image; remove it, or its text file") from None
    except Exception as error:  # whatever a decoder raises on rubbish
        raise UserError(f"{photo}: cannot be read ({error}); restore it, or remove it and its text file") from None
