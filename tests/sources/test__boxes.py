"""A table of boxes gives each a name, label, patient and place, or is refused by its rows."""

from pathlib import Path

import pytest

from malaria.core.errors import UserError
from malaria.sources.own import read_labels
from tests.support.images import two_colors

CLASSES = ["healthy", "infected"]
HEADER = "photo,x,y,width,height,label"
GOOD = ["a.png,0,0,10,10,healthy", "b/c.png,5,6,10.5,12,infected"]


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """Photographs of no content, which reading labels does not open."""
    for name in ("a.png", "b/c.png", "d.jpg"):
        (tmp_path / "lab" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lab" / name).write_bytes(two_colors())
    return tmp_path / "lab"


def tabulate(lab: Path, *lines: str) -> Path:
    (lab / "labels.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return lab / "labels.csv"


def test_boxes_are_numbered_from_top_to_bottom_in_each_photograph(lab: Path) -> None:
    more = ["a.png,90,50,10,10,1", "a.png,20,50,10,10,INFECTED", "./a.png,30,7,10,10,0"]
    path = tabulate(lab, HEADER, *GOOD, *more)
    table = read_labels(lab, CLASSES)
    assert table.columns.tolist() == ["name", "label", "patient", "photo", "x", "y", "width", "height", "file"]
    assert table.drop(columns=["file", "width", "height"]).to_numpy().tolist() == [
        ["a.png/0001.png", 0, "a.png", "a.png", 0, 0],
        ["a.png/0002.png", 0, "a.png", "a.png", 30, 7],
        ["a.png/0003.png", 1, "a.png", "a.png", 20, 50],
        ["a.png/0004.png", 1, "a.png", "a.png", 90, 50],
        ["b/c.png/0001.png", 1, "b/c.png", "b/c.png", 5, 6],
    ]
    assert {Path(file).resolve() for file in table.file} == {lab / "a.png", lab / "b/c.png"}
    assert read_labels(path, CLASSES).equals(table)


def test_patient_and_split_are_taken_where_they_are_given(lab: Path) -> None:
    lines = [
        f"{line},{more}" for line, more in zip([*GOOD, "d.jpg,1,1,9,9,1"], ["P1,train", ",val", "P2,test"], strict=True)
    ]
    table = read_labels(tabulate(lab, HEADER + ",patient,split", *lines), CLASSES).set_index("photo")
    assert table.patient.to_dict() == {"a.png": "P1", "b/c.png": "b/c.png", "d.jpg": "P2"}
    assert table["split"].to_dict() == {"a.png": "train", "b/c.png": "val", "d.jpg": "test"}


def test_numbers_of_a_german_spreadsheet_are_read(lab: Path) -> None:
    lines = [HEADER, "a.png,1.5,2,10,10,0", "a.png,50,50,10,10,1"]
    table = read_labels(tabulate(lab, *(line.replace(",", ";").replace(".5", ",5") for line in lines)), CLASSES)
    assert table.x.tolist() == [1.5, 50]


def test_a_box_that_is_there_again_counts_once(lab: Path) -> None:
    assert len(read_labels(tabulate(lab, HEADER, *GOOD, *GOOD), CLASSES)) == 2


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (["photo,x,y,label", "a.png,1,1,0"], ["width", "height"]),
        ([HEADER], []),
        ([HEADER, *GOOD, ",1,1,9,9,0"], ["4"]),
        ([HEADER, *GOOD, "a.png,one,1,9,9,0", "a.png,,1,9,9,0"], ["4, 5", "x", "one"]),
        ([HEADER, *GOOD, "a.png,nan,1,9,9,0"], ["4"]),
        ([HEADER, *GOOD, "a.png,1,1,0,9,0"], ["4", "width"]),
        ([HEADER, *GOOD, "a.png,1,1,9,-9,0"], ["4", "height"]),
        ([HEADER, *GOOD, "a.png,1e300,1,9,9,0", "a.png,1,inf,9,9,0"], ["row 4", "x"]),
        ([HEADER, *GOOD, "a.png,1,1,9,9,leukocyte", "a.png,2,1,9,9,ring"], ["4, 5", "leukocyte, ring", "classes"]),
        ([HEADER, *GOOD, "gone.png,1,1,9,9,0"], ["4", "gone.png"]),
        ([HEADER, GOOD[0]], ["Uninfected"]),
        ([HEADER, *GOOD, GOOD[0].replace("healthy", "infected")], ["2, 4", "a.png"]),
        ([HEADER + ",patient", GOOD[0] + ",P1", "a.png,50,0,10,10,1,P2"], ["2, 3", "a.png", "patients"]),
        ([HEADER + ",split", GOOD[0] + ",train", "a.png,50,0,10,10,1,test"], ["2, 3", "a.png"]),
        ([HEADER + ",split", GOOD[0] + ",train", GOOD[1] + ",tset"], ["3", "tset"]),
    ],
)  # fmt: skip
def test_a_bad_table_is_refused_by_its_rows(lines: list[str], named: list[str], lab: Path) -> None:
    path = tabulate(lab, *lines)
    with pytest.raises(UserError) as refused:
        read_labels(path, CLASSES)
    assert str(path) in str(refused.value)
    assert [name for name in named if name not in str(refused.value)] == []


def test_two_photographs_of_one_name_are_refused(lab: Path) -> None:
    (lab.parent / "a.png").write_bytes(two_colors())
    path = tabulate(lab, HEADER, *GOOD, "../a.png,1,1,9,9,0")
    with pytest.raises(UserError, match=r"2, 4.*a\.png"):
        read_labels(path, CLASSES)


def test_a_table_of_crops_may_tell_where_they_were(lab: Path) -> None:
    path = tabulate(lab, "image,label,photo,x,y,width,height", "a.png,0,IMG_1.jpg,1,1,9,9", "d.jpg,1,IMG_1.jpg,5,5,9,9")
    assert read_labels(path, CLASSES).name.tolist() == ["a.png", "d.jpg"]
