"""Boxes of YOLO's text files are read in each of its layouts, and bad ones are refused by line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from malaria.core.errors import UserError
from malaria.sources.own import read_labels, write_labelled
from tests.sources.test__photographs import true_labels
from tests.support.photographs import SIZE, add_photographs

CLASSES = ["healthy", "infected"]
LINE = "1 0.5 0.5 0.1 0.1"


def write_texts(folder: Path, truth: pd.DataFrame, names: tuple[str, ...] = ("healthy", "infected")) -> None:
    """A text file for each photograph, in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for photo, boxes in truth.groupby("photo"):
        lines = [
            f"{names.index(box.label)} {(box.x + box.width / 2) / SIZE[0]} {(box.y + box.height / 2) / SIZE[1]} "
            f"{box.width / SIZE[0]} {box.height / SIZE[1]}\n"
            for box in boxes.itertuples()
        ]
        (folder / Path(photo).with_suffix(".txt").name).write_text("".join(lines))


@pytest.mark.parametrize(
    ("photos", "texts"),
    [("", ""), ("images/", "images"), ("images/", "labels"), ("images/in/", "labels/in"), ("in/images/", "in/labels")],
)  # fmt: skip
def test_text_files_are_found_beside_photographs_or_in_labels(photos: str, texts: str, tmp_path: Path) -> None:
    truth = add_photographs(tmp_path, f"{photos}a.png", f"{photos}b.png", cells=6)
    write_texts(tmp_path / texts, truth)
    add_photographs(tmp_path, f"{photos}c.png", cells=1)  # which has no text file
    table = read_labels(tmp_path, CLASSES)
    assert set(table.photo) == set(truth.photo)
    expected = truth.sort_values(["photo", "y", "x"], ignore_index=True)
    assert table[["x", "y", "width", "height"]].to_numpy() == pytest.approx(expected.iloc[:, 1:5].to_numpy())
    assert table.label.tolist() == (expected.label == "infected").astype(int).tolist()


def test_labels_go_to_the_right_cells(tmp_path: Path) -> None:
    truth = add_photographs(tmp_path, "a.png")
    write_texts(tmp_path, truth)
    index = write_labelled(read_labels(tmp_path, CLASSES), tmp_path / "out/cells.zip")
    assert len(index) >= 18
    assert index.label.tolist() == true_labels(index, truth)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("classes.txt", "infected\r\nHealthy\r\n\r\n"),
        ("labels/classes.txt", "infected\nhealthy\n"),
        ("data.yaml", "train: images\nnames: [infected, healthy]\nnc: 2\n"),
        ("data.yml", "names:\n  1: healthy\n  0: infected\n"),
        ("../data.yaml", "names: [infected, healthy]\n"),
    ],
)
def test_classes_are_numbered_as_their_names_say(place: str, text: str, tmp_path: Path) -> None:
    truth = add_photographs(tmp_path / "lab", "images/a.png", cells=10)
    write_texts(tmp_path / "lab/labels", truth, names=("infected", "healthy"))
    (tmp_path / "lab" / place).write_text(text)
    assert read_labels(tmp_path / "lab", CLASSES).label.sum() == (truth.label == "infected").sum() == 4


def test_without_names_it_is_told_what_0_is_taken_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_texts(tmp_path, add_photographs(tmp_path, "a.png", cells=5))
    read_labels(tmp_path, CLASSES)
    assert "class 0" in capsys.readouterr().err
    (tmp_path / "classes.txt").write_text("healthy\ninfected")
    read_labels(tmp_path, CLASSES)
    assert capsys.readouterr().err == ""


def test_shares_are_of_the_upright_photograph(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.new("RGB", (400, 200)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n1 0.25 0.25 0.5 0.5")
    boxes = read_labels(tmp_path, CLASSES)[["x", "y", "width", "height"]]
    assert boxes.to_numpy() == pytest.approx(np.array([[0, 0, 100, 200], [90, 180, 20, 40]]))


@pytest.mark.parametrize(
    ("line", "names", "named"),
    [
        ("1 0.5 0.5 0.1", "", ["a.txt", "line 2"]),
        ("1 0.5 0.5 0.1 0.1 0.9", "", ["a.txt", "line 2"]),
        ("one 0.5 0.5 0.1 0.1", "", ["a.txt", "line 2", "one"]),
        ("1 200 100 30 30", "", ["a.txt", "line 2"]),
        ("1 nan 0.5 0.1 0.1", "", ["a.txt", "line 2"]),
        ("1 0.5 0.5 0 0.1", "", ["a.txt:2", "width"]),
        ("2 0.5 0.5 0.1 0.1", "", ["a.txt:2", "2", "download.classes"]),
        ("2 0.5 0.5 0.1 0.1", "healthy\ninfected", ["a.txt", "line 2", "class 2"]),
        ("2 0.5 0.5 0.1 0.1", "healthy\ninfected\nleukocyte", ["a.txt:2", "leukocyte"]),
        ("-1 0.5 0.5 0.1 0.1", "healthy\ninfected", ["a.txt", "line 2"]),
    ],
)
def test_a_bad_line_is_refused(line: str, names: str, named: list[str], tmp_path: Path) -> None:
    Image.new("RGB", SIZE).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text(f"{LINE}\n{line}\n")
    if names:
        (tmp_path / "classes.txt").write_text(names)
    with pytest.raises(UserError) as refused:
        read_labels(tmp_path, CLASSES)
    assert [name for name in [str(tmp_path), *named] if name not in str(refused.value)] == []


@pytest.mark.parametrize("text", ["names: 3", "[", "names: [1, 2]", "- healthy", "", "names: {a: healthy}", "{" * 9999])
def test_a_data_yaml_without_names_is_refused(text: str, tmp_path: Path) -> None:
    Image.new("RGB", SIZE).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text(LINE)
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(UserError, match=r"data\.yaml"):
        read_labels(tmp_path, CLASSES)


def test_a_photograph_that_cannot_be_measured_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    (tmp_path / "a.txt").write_text(LINE)
    with pytest.raises(UserError, match=r"a\.png"):
        read_labels(tmp_path, CLASSES)


def test_folders_of_classes_count_more_than_text_files_in_them(tmp_path: Path) -> None:
    for folder in ("healthy", "infected"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (9, 9)).save(tmp_path / folder / "a.png")
        (tmp_path / folder / "a.txt").write_text("seen twice")
    assert read_labels(tmp_path, CLASSES).name.tolist() == ["healthy/a.png", "infected/a.png"]
