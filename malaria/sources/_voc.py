"""Labelled boxes in XML files of Pascal VOC's format, one a photograph, as LabelImg writes them."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from malaria.core.archive import read_file
from malaria.core.errors import UserError
from malaria.sources._boxes import Row, find_photo, to_rows

_BOX = ("xmin", "ymin", "xmax", "ymax")


class _Builder(ElementTree.TreeBuilder):
    """Refuses a document type, whose entities could take any amount of memory when they are expanded."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise ValueError("it declares a document type, which annotations do not need; remove it")


def find(folder: Path) -> list[Path]:
    """The XML files of a folder, at any depth."""
    return sorted(file for file in folder.rglob("*.xml") if not file.name.startswith("."))


def read(folder: Path, files: Sequence[Path]) -> pd.DataFrame:
    """The boxes of XML files, as `check_boxes` takes them.

    Raises:
        UserError: a file is not of VOC's format; it is named, and the object in it.
    """
    rows, places = [], []
    for file in files:
        try:
            for number, row in enumerate(_read_objects(file), 1):
                rows.append(row)
                places.append(f"{file.relative_to(folder).as_posix()}:{number}")
        except ValueError as error:
            raise UserError(f"{file}: {error}") from None
        except OSError as error:
            raise UserError(f"{file}: cannot be read ({error.strerror}); restore it, or remove it") from None
    return to_rows(rows, pd.Index(places, name="object", dtype=object))


def _read_objects(file: Path) -> Iterator[Row]:
    """The boxes of a photograph."""
    try:
        root = ElementTree.fromstring(read_file(file), ElementTree.XMLParser(target=_Builder()))
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"not XML ({error})") from None
    photo = find_photo(file.parent, _text(root, "filename", "the annotation"))
    for number, item in enumerate(root.iterfind("object"), 1):
        where = f"object {number}"
        left, top, right, bottom = (_number(item, f"bndbox/{side}", where) for side in _BOX)
        yield photo, left, top, right - left, bottom - top, _text(item, "name", where)


def _text(element: ElementTree.Element, path: str, where: str) -> str:
    if not (text := (element.findtext(path) or "").strip()):
        raise ValueError(f"{where} has no {path}; a file of Pascal VOC's format needs it")
    return text


def _number(element: ElementTree.Element, path: str, where: str) -> float:
    text = _text(element, path, where)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where}: {path} is {text!r}, which is no number; give px of the photograph")
    return number
