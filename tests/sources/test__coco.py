"""Boxes of COCO's JSON are read, and files that are not of its format are refused."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from malaria.core.errors import UserError
from malaria.sources.own import read_labels, write_labelled
from tests.sources.test__photographs import true_labels
from tests.support.photographs import add_photographs

CLASSES = ["healthy", "infected"]
CATEGORIES = [{"id": 7, "name": "infected"}, {"id": 3, "name": "Healthy", "supercategory": "cell"}]


def to_coco(truth: pd.DataFrame) -> dict[str, Any]:
    """Boxes as COCO's format has them."""
    photos = truth.photo.unique().tolist()
    ids = {"infected": 7, "healthy": 3}
    return {
        "info": {"year": 2024},
        "images": [{"id": n, "file_name": Path(photo).name, "width": 400} for n, photo in enumerate(photos)],
        "categories": CATEGORIES,
        "annotations": [
            {"id": n, "image_id": photos.index(photo), "category_id": ids[label], "bbox": box, "iscrowd": 0}
            for n, (photo, *box, label) in enumerate(truth.to_numpy().tolist())
        ],
    }


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    """COCO's format, with two photographs in images/."""
    return to_coco(add_photographs(tmp_path, "images/a.png", "images/b.png", cells=6))


@pytest.mark.parametrize("place", ["boxes.json", "annotations/train.json", "images/_annotations.coco.json"])
def test_a_file_is_found_and_the_photographs_beside_it(place: str, content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(json.dumps(content))
    table = read_labels((tmp_path / place).parent if "images" in place else tmp_path, CLASSES)
    assert len(table) == 12
    assert {Path(file).name for file in table.file} == {"a.png", "b.png"}
    alone = read_labels(tmp_path / place, CLASSES)
    assert alone[["label", "x", "y", "width", "height"]].equals(table[["label", "x", "y", "width", "height"]])


def test_labels_go_to_the_right_cells(tmp_path: Path) -> None:
    truth = add_photographs(tmp_path, "a.png")
    (tmp_path / "boxes.json").write_text(json.dumps(to_coco(truth)))
    index = write_labelled(read_labels(tmp_path, CLASSES), tmp_path / "out/cells.zip")
    assert len(index) >= 18
    assert index.label.tolist() == true_labels(index, truth)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"annotations": [{"image_id": 0, "category_id": 3}]}, ["bbox"]),
        ({"annotations": [{"image_id": 0, "category_id": 3, "bbox": [1, 2, 3]}]}, ["bbox"]),
        ({"annotations": [{"image_id": 0, "category_id": 3, "bbox": [1, 2, "x", 4]}]}, ["bbox"]),
        ({"annotations": [{"image_id": 0, "category_id": 3, "bbox": [1, 2, 0, 4]}]}, ["width"]),
        ({"annotations": [{"image_id": 9, "category_id": 3, "bbox": [1, 2, 3, 4]}]}, ["image_id", "9"]),
        ({"annotations": [{"image_id": 0, "category_id": 4, "bbox": [1, 2, 3, 4]}]}, ["category_id", "4"]),
        ({"annotations": []}, ["no class"]),
        ({"images": []}, ["image_id"]),
        ({"images": [{"id": 0, "file_name": "gone.png"}, {"id": 1, "file_name": "b.png"}]}, ["gone.png"]),
        ({"categories": [{"id": 7, "name": "infected"}, {"id": 3, "name": "leukocyte"}]}, ["leukocyte"]),
    ],
)
def test_a_bad_file_is_refused(
    change: dict[str, Any], named: list[str], content: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(content | change))
    with pytest.raises(UserError) as refused:
        read_labels(path, CLASSES)
    assert [name for name in [str(path), *named] if name not in str(refused.value)] == []


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"images": 3}', b"[" * 100_000, b"\xff\xfe\x00", b"NaN"])
def test_a_file_that_is_no_coco_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_bytes(data)
    with pytest.raises(UserError, match=r"boxes\.json"):
        read_labels(tmp_path, CLASSES)


def test_of_several_files_one_must_be_named(content: dict[str, Any], tmp_path: Path) -> None:
    for name in ("train.json", "val.json"):
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"train\.json.*val\.json"):
        read_labels(tmp_path, CLASSES)
