"""Boxes of Pascal VOC's XML are read, safely, and files that are not of its format are refused by object."""

from pathlib import Path

import pandas as pd
import pytest

from malaria.core.errors import UserError
from malaria.sources.own import read_labels, write_labelled
from tests.sources.test__photographs import true_labels
from tests.support.photographs import add_photographs

CLASSES = ["healthy", "infected"]
OBJECT = (
    "<object><name>infected</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>"
)


def write_xml(folder: Path, truth: pd.DataFrame) -> None:
    """A file for each photograph, as LabelImg writes it."""
    for photo, boxes in truth.groupby("photo"):
        objects = "".join(
            f"<object><name>{box.label}</name><difficult>0</difficult><bndbox><xmin>{box.x}</xmin><ymin>{box.y}</ymin>"
            f"<xmax>{box.x + box.width}</xmax><ymax>{box.y + box.height}</ymax></bndbox></object>\n"
            for box in boxes.itertuples()
        )
        write(folder / f"{Path(photo).stem}.xml", Path(photo).name, objects)


def write(path: Path, photo: str, objects: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"<annotation><filename>{photo}</filename><size><width>400</width></size>{objects}</annotation>")


@pytest.mark.parametrize(("photos", "files"), [("", ""), ("JPEGImages/", "Annotations"), ("images/", "")])
def test_photographs_are_found_beside_their_files_or_in_a_folder(photos: str, files: str, tmp_path: Path) -> None:
    truth = add_photographs(tmp_path, f"{photos}a.png", f"{photos}b.png", cells=6)
    write_xml(tmp_path / files, truth)
    table = read_labels(tmp_path, CLASSES)
    assert len(table) == 12
    assert set(table.photo) == set(truth.photo)
    assert table[["width", "height"]].sum().tolist() == truth[["width", "height"]].sum().tolist()


def test_labels_go_to_the_right_cells(tmp_path: Path) -> None:
    truth = add_photographs(tmp_path, "a.png")
    write_xml(tmp_path, truth)
    index = write_labelled(read_labels(tmp_path / "a.xml", CLASSES), tmp_path / "out/cells.zip")
    assert len(index) >= 18
    assert index.label.tolist() == true_labels(index, truth)


@pytest.mark.parametrize(
    ("objects", "named"),
    [
        (OBJECT.replace("name>", "title>"), ["object 2", "name"]),
        (OBJECT.replace("<xmax>30</xmax>", ""), ["object 2", "xmax"]),
        (OBJECT.replace(">30<", ">thirty<"), ["object 2", "xmax", "thirty"]),
        (OBJECT.replace(">30<", ">nan<"), ["object 2", "xmax"]),
        (OBJECT.replace(">30<", ">1<"), ["a.xml:2", "width"]),
        (OBJECT.replace("infected", "leukocyte"), ["a.xml:2", "leukocyte"]),
        ("<object>", ["XML"]),
        ("", ["Parasitized"]),
    ],
)
def test_a_bad_file_is_refused_by_its_object(objects: str, named: list[str], tmp_path: Path) -> None:
    add_photographs(tmp_path, "a.png", cells=1)
    write(tmp_path / "a.xml", "a.png", OBJECT + objects)
    with pytest.raises(UserError) as refused:
        read_labels(tmp_path, CLASSES)
    assert [name for name in [str(tmp_path), *named] if name not in str(refused.value)] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<annotation/>",
        "<annotation><filename>gone.png</filename>" + OBJECT + "</annotation>",
        "<?xml version='1.0' encoding='martian'?><annotation/>",
        "<a>" * 100_000,
    ],
)
def test_a_file_that_is_no_annotation_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(UserError, match=r"a\.xml"):
        read_labels(tmp_path, CLASSES)


def test_entities_are_refused_before_they_are_expanded(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("infected")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    for entities, used in ((f'<!ENTITY l0 "ha">{laughs}', "&l9;"), (f'<!ENTITY x SYSTEM "{secret.as_uri()}">', "&x;")):
        text = f"<!DOCTYPE annotation [{entities}]><annotation><filename>{used}</filename></annotation>"
        for encoding in ("utf-8", "utf-16"):
            (tmp_path / "a.xml").write_bytes(text.encode(encoding))
            with pytest.raises(UserError, match=r"a\.xml.*document type"):
                read_labels(tmp_path, CLASSES)
