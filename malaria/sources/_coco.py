"""Labelled boxes in a JSON file of COCO's format: https://cocodataset.org/#format-data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import BaseModel, Field, ValidationError

from malaria.core.errors import UserError
from malaria.sources._boxes import find_photo, read_text, to_rows
from malaria.sources._labels import refuse

Id = int | str
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Image(BaseModel):
    id: Id
    file_name: str


class _Category(BaseModel):
    id: Id
    name: str


class _Annotation(BaseModel):
    image_id: Id
    category_id: Id
    bbox: tuple[Number, Number, Number, Number]  # left, top, width, height, px


class _Coco(BaseModel):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Annotation]


def find(folder: Path) -> list[Path]:
    """The JSON files of a folder, or else of its folder `annotations`."""
    return sorted(folder.glob("[!.]*.json")) or sorted(folder.glob("annotations/[!.]*.json"))


def read(folder: Path, files: Sequence[Path]) -> pd.DataFrame:
    """The boxes of a JSON file, as `check_boxes` takes them.

    Raises:
        UserError: it is not of COCO's format, or there are several.
    """
    if len(files) > 1:
        names = ", ".join(str(file) for file in files)
        raise UserError(f"{folder}: {len(files)} JSON files ({names}); give the one to read in place of the folder")
    coco = _parse(files[0])
    photos = {image.id: find_photo(files[0].parent, image.file_name) for image in coco.images}
    labels = {category.id: category.name for category in coco.categories}
    places = pd.RangeIndex(len(coco.annotations), name="annotation")
    for key, known in (("image_id", photos), ("category_id", labels)):
        values = pd.Series([getattr(box, key) for box in coco.annotations], places, dtype=object)
        refuse(files[0], values, ~values.isin(list(known)), f"unknown {key}", "Correct it, or remove the annotation")
    return to_rows(((photos[box.image_id], *box.bbox, labels[box.category_id]) for box in coco.annotations), places)


def _parse(path: Path) -> _Coco:
    try:
        return _Coco.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path}: {place or 'the file'}: {first['msg']}; COCO's format has images (id, file_name), categories (id, "
            "name) and annotations (image_id, category_id, bbox)"
        ) from None
