"""Own cells are read from a folder a class or from a table, or refused by file and row with what to do."""

import os
import time
from pathlib import Path

import pandas as pd
import pytest

from malaria.core.archive import MAX_BYTES, open_archive
from malaria.core.errors import UserError
from malaria.params import Params
from malaria.sources.own import read_labels, write_cells
from tests.support.images import two_colors
from tests.support.param_fields import changed

CLASSES = ["healthy", "infected"]


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """An empty folder of a laboratory."""
    (tmp_path / "lab").mkdir()
    return tmp_path / "lab"


def add(folder: Path, *names: str) -> None:
    """Image files, each with other pixels."""
    for shade, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(two_colors(shade))


def read(path: Path, classes: list[str] = CLASSES) -> dict[str, tuple[int, str]]:
    """Name -> label and patient."""
    table = read_labels(path, classes)
    assert table.name.is_unique
    return dict(zip(table.name, zip(table.label, table.patient, strict=True), strict=True))


def tabulate(lab: Path, *lines: str) -> Path:
    """Write a labels.csv."""
    (lab / "labels.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return lab / "labels.csv"


def refusal(path: Path, classes: list[str] = CLASSES) -> str:
    """The message, which names the path."""
    with pytest.raises(UserError) as refused:
        read_labels(path, classes)
    assert str(path) in str(refused.value)
    return str(refused.value)


# A folder a class


def test_a_folder_in_that_of_a_class_is_a_patient_however_deep_the_images_are(lab: Path) -> None:
    add(lab, "healthy/P1/a.png", "healthy/b.JPG", "infected/P1/2024/may/c.tiff", "infected/P2/d.png")
    assert read(lab) == {
        "healthy/P1/a.png": (0, "P1"),
        "healthy/b.JPG": (0, "healthy/b.JPG"),
        "infected/P1/2024/may/c.tiff": (1, "P1"),
        "infected/P2/d.png": (1, "P2"),
    }


def test_classes_are_found_in_any_case_and_keep_their_names(lab: Path) -> None:
    add(lab, "HEALTHY/a.png", "Infected/b.png")
    assert {name: label for name, (label, _) in read(lab).items()} == {"HEALTHY/a.png": 0, "Infected/b.png": 1}


def test_what_is_no_image_or_hidden_or_of_no_class_is_passed_over_and_links_are_followed(lab: Path) -> None:
    add(lab, "healthy/a.png", "infected/b.png", "unsure/c.png", "d.png", "healthy/.e.png", "infected/.cache/P1/f.png")
    (lab / "healthy/Thumbs.db").write_bytes(b"thumbs")
    (lab / "infected/notes.txt").write_text("stained twice")
    add(lab.parent, "elsewhere/g.png")
    (lab / "infected/P9").symlink_to(lab.parent / "elsewhere")
    (lab / "healthy/P8").symlink_to(lab / "healthy")  # a cycle
    assert set(read(lab)) == {"healthy/a.png", "infected/b.png", "infected/P9/g.png"}


@pytest.mark.parametrize("names", [[], ["a.png", "good/b.png"], ["healthy/a.png", "sick/b.png"]])
def test_a_folder_without_its_classes_is_refused_with_what_it_has(names: list[str], lab: Path) -> None:
    add(lab, *names)
    message = refusal(lab)
    assert "infected" in message
    assert "download.classes" in message
    assert all(name.split("/")[0] in message for name in names)


@pytest.mark.parametrize("hidden", [[], ["infected/.b.png"], ["infected/.trash/b.png"]])
def test_a_class_without_images_is_refused(hidden: list[str], lab: Path) -> None:
    add(lab, "healthy/a.png", *hidden)
    (lab / "infected").mkdir(exist_ok=True)
    assert "Uninfected" in refusal(lab) or str(lab / "infected") in refusal(lab)


def test_a_name_that_a_zip_cannot_hold_is_refused(lab: Path) -> None:
    add(lab, "healthy/a.png", "infected/b.png")
    try:
        (lab / "infected/b.png").rename(lab / "infected" / os.fsdecode(b"\xff.png"))
    except OSError:
        pytest.skip("this file system has UTF-8 names alone")
    assert r"\udcff.png" in refusal(lab)


def test_a_path_that_does_not_exist_is_refused(lab: Path) -> None:
    refusal(lab / "nothing")


# A table


def test_a_table_gives_label_patient_photo_and_split_and_more_columns_are_ignored(lab: Path) -> None:
    add(lab, "x/a.png", "x/b.png", "x/c.png")
    tabulate(
        lab,
        "stain,split,photo,patient,label,image",
        "giemsa,Train,1.jpg,P1,healthy,x/a.png",
        "giemsa,TEST,,007,INFECTED,x/b.png",
        ",val,2.jpg,NA,infected,x/c.png",
    )
    table = read_labels(lab, CLASSES)
    assert table.columns.tolist() == ["name", "label", "patient", "photo", "split", "file"]
    assert table.drop(columns="file").to_numpy().tolist() == [
        ["x/a.png", 0, "P1", "1.jpg", "train"],
        ["x/b.png", 1, "007", "", "test"],
        ["x/c.png", 1, "NA", "2.jpg", "val"],
    ]
    assert table.label.dtype == "int64"
    assert table.file.tolist() == [str(lab / name) for name in table.name]


def test_a_table_counts_more_than_folders_beside_it(lab: Path) -> None:
    add(lab, "healthy/a.png", "healthy/b.png", "infected/c.png")
    tabulate(lab, "image,label", "healthy/a.png,infected", "infected/c.png,healthy")
    assert {name: label for name, (label, _) in read(lab).items()} == {"healthy/a.png": 1, "infected/c.png": 0}


def test_an_image_is_found_under_a_name_that_is_written_otherwise_and_else_the_nearest_is_told(lab: Path) -> None:
    add(lab, "cells/IMG_1.PNG", "cells/IMG_2.png")
    assert read(tabulate(lab, "image,label", "img-1.png,1", "IMG_2.jpg,0")) == {
        "cells/IMG_1.PNG": (1, "cells/IMG_1.PNG"),
        "cells/IMG_2.png": (0, "cells/IMG_2.png"),
    }
    message = refusal(tabulate(lab, "image,label", "img-1.png,1", "IMG_22.jpg,0"))
    assert "IMG_22.jpg" in message
    assert "cells/IMG_2.png" in message


def test_a_missing_patient_is_the_photo_and_else_the_cell(lab: Path) -> None:
    add(lab, "a.png", "b.png", "c.png")
    path = tabulate(lab, "image,label,patient,photo", "a.png,0,P1,1.jpg", "b.png,1,,1.jpg", "c.png,1,,")
    assert [patient for _, patient in read(path).values()] == ["P1", "1.jpg", "c.png"]
    tabulate(lab, "image,label,photo", "a.png,0,1.jpg", "b.png,1,1.jpg", "c.png,1,")
    assert [patient for _, patient in read(path).values()] == ["1.jpg", "1.jpg", "c.png"]
    tabulate(lab, "image,label,photo,split", "a.png,0,,", "b.png,1,,", "c.png,1,,")  # columns that say nothing
    assert [patient for _, patient in read(path).values()] == ["a.png", "b.png", "c.png"]
    assert read_labels(path, CLASSES).columns.tolist() == ["name", "label", "patient", "file"]


@pytest.mark.parametrize(
    "labels", [("0", "1"), ("Healthy", "INFECTED"), ("uninfected", "Parasitized"), ("healthy", "1")]
)
def test_a_label_is_a_number_or_a_name_in_any_case(labels: tuple[str, str], lab: Path) -> None:
    add(lab, "a.png", "b.png")
    tabulate(lab, "image,label", f"a.png,{labels[0]}", f"b.png,{labels[1]}")
    assert [label for label, _ in read(lab).values()] == [0, 1]


def test_names_in_the_archive_have_no_root_and_lead_nowhere_else(lab: Path) -> None:
    add(lab, "in/a.png", "in/b.png", "in/c.png")
    add(lab.parent, "out/d.png", "out/e.png")
    outside = (lab.parent / "out/e.png").as_posix()
    images = ["in/../in/./a.png", f"{lab.as_posix()}/in/b.png", r"in\c.png", "../out/d.png", outside]
    table = read_labels(tabulate(lab, "image,label", *(f"{name},{n % 2}" for n, name in enumerate(images))), CLASSES)
    assert table.name.tolist() == ["in/a.png", "in/b.png", "in/c.png", "out/d.png", outside.lstrip("/")]
    assert [Path(file).read_bytes() for file in table.file] == [two_colors(n) for n in (0, 1, 2, 0, 1)]


def test_a_path_above_a_linked_folder_is_that_of_the_system(lab: Path) -> None:
    add(lab, "a.png")
    add(lab.parent, "b.png")
    tabulate(lab, "image,label", "a.png,0", "../b.png,1")
    (lab.parent / "far/away").mkdir(parents=True)
    (lab.parent / "far/away/link").symlink_to(lab)
    assert set(read(lab.parent / "far/away/link")) == {"a.png", "b.png"}


def test_a_row_that_is_there_again_counts_once(lab: Path) -> None:
    add(lab, "a.png", "b.png")
    tabulate(lab, "image,label,patient", "a.png,0,P1", "b.png,1,P2", "./a.png,healthy,P1", "a.png,0,P1")
    assert read(lab) == {"a.png": (0, "P1"), "b.png": (1, "P2")}


def test_rows_without_a_label_of_a_person_are_left_out_with_their_images_and_splits(lab: Path) -> None:
    add(lab, "a.png", "b.png", "c.png")
    lines = ["a.png,0,val", "gone.png,not a single cell,", "b.png,1,test", "c.png,Unsure,?", "a.png,unsure,val"]
    tabulate(lab, "image,label,split", *lines)
    assert {name: label for name, (label, _) in read(lab).items()} == {"a.png": 0, "b.png": 1}


def test_boxes_without_a_label_of_a_person_are_left_out(lab: Path) -> None:
    add(lab, "a.png", "b.png")
    boxes = ["a.png,0,0,9,9,0", "a.png,20,0,9,9,unsure", "b.png,0,0,9,9,NOT A SINGLE CELL", "b.png,20,0,9,9,1"]
    tabulate(lab, "photo,x,y,width,height,label", *boxes)
    assert {name: label for name, (label, _) in read(lab).items()} == {"a.png/0001.png": 0, "b.png/0001.png": 1}


def test_rows_left_out_do_not_change_the_numbers_by_which_others_are_called(lab: Path) -> None:
    add(lab, "a.png")
    assert "row 4:" in refusal(tabulate(lab, "image,label", "a.png,unsure", "a.png,0", "a.png,maybe"))


@pytest.mark.parametrize(
    "lines",
    [
        ["image,label,patient,photo,split", "a.png,unsure,P1,1.jpg,test", "b.png,not a single cell,P2,,train"],
        ["photo,x,y,width,height,label,patient,split", "a.png,0,0,9,9,unsure,P1,test"],
    ],
    ids=["crops", "boxes"],
)
def test_a_table_of_such_rows_alone_is_refused(lines: list[str], lab: Path) -> None:
    add(lab, "a.png", "b.png")
    assert "both classes" in refusal(tabulate(lab, *lines))


# As spreadsheets write it


def join(delimiter: str, end: str, rows: list[tuple[str, ...]]) -> str:
    return "".join(delimiter.join(f'"{field}"' if delimiter in field else field for field in row) + end for row in rows)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"], ids=["utf-8", "bom", "windows", "unicode-text"]
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_tables_are_read_as_excel_writes_them(encoding: str, delimiter: str, end: str, lab: Path) -> None:
    add(lab, "zellen/ä 1.png", "zellen/ö.png")
    rows = [(" IMAGE ", "Label", "Größe"), (" zellen/ä 1.png ", "gesund ", "1,5"), ("zellen/ö.png", "Krank", "")]
    rows += [("", " ", "")] * 2  # below the last row, as after deleted ones
    (lab / "labels.csv").write_bytes(join(delimiter, end, rows).encode(encoding))
    assert read(lab, ["gesund", "krank"]) == {
        "zellen/ä 1.png": (0, "zellen/ä 1.png"),
        "zellen/ö.png": (1, "zellen/ö.png"),
    }


def test_the_bytes_of_a_german_excel_are_read(lab: Path) -> None:
    add(lab, "Blutbild \u00fc.png", "b.png", "c;d.png")
    (lab / "labels.csv").write_bytes(
        b'Image;Label;Patient\r\nBlutbild \xfc.png;0;M\xfcller\r\nb.png;1;007\r\n"c;d.png";1\r\n;;\r\n'
    )
    assert read(lab) == {"Blutbild \u00fc.png": (0, "M\u00fcller"), "b.png": (1, "007"), "c;d.png": (1, "c;d.png")}


# Tables that are refused

SIX = [f"{n}.png,{n % 2}" for n in range(6)]


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ([], ["image", "label"]),
        (["name,label", "0.png,1"], ["image", "name"]),
        (["image,class,image", "0.png,1"], ["label", "class"]),
        (["image,label,Label", "0.png,1,0"], ["label"]),
        (["image,label"], []),
        (["image,label", ",", ""], []),
        (["image,label", *SIX, ",1"], ["8"]),
        (["image,label", "0.png,0", "1.png,0"], ["Uninfected"]),
        (["image,label", *SIX, "0.png,maybe", "1.png,", "2.png,2"], ["8, 9, 10", "maybe", "2", "download.classes"]),
        (["image,label", *SIX, "gone.png,1", "far/away.png,0"], ["8, 9", "gone.png", "far/away.png"]),
        (["image,label", *SIX, *(f"x{n}.png,1" for n in range(90))], ["8, 9, 10, 11, 12,", "90", "x0.png", "x4.png"]),
        (["image,label", *SIX, ".,1"], ["8"]),
        (["image,label", *SIX, "0.png,1"], ["2, 8", "0.png", "label"]),
        (["image,label,patient", "0.png,0,A", "1.png,1,B", "0.png,0,C"], ["2, 4", "0.png", "patient"]),
        (["image,label,split", "0.png,0,train", "1.png,1,", "2.png,1,test"], ["3"]),
        (["image,label,split", "0.png,0,train", "1.png,1,training", "2.png,1,test"], ["3", "training"]),
        (["image,label,patient,split", "0.png,0,A,train", "1.png,1,B,val", "2.png,1,A,TEST"], ["2, 4", "A"]),
        (["image,label,patient,split", "0.png,0,A,test", "1.png,1,B,train", "2.png,1,A,val"], ["2, 4", "A"]),
        (["image,label,photo,split", "0.png,0,I,test", "1.png,1,I,train"], ["2, 3", "I"]),
    ],
)
def test_a_bad_table_is_refused_by_its_rows(lines: list[str], named: list[str], lab: Path) -> None:
    add(lab, *(f"{n}.png" for n in range(6)))
    message = refusal(tabulate(lab, *lines))
    assert [name for name in named if name not in message] == []
    assert "x5.png" not in message


def test_two_files_of_one_name_are_refused(lab: Path) -> None:
    add(lab, "a.png", "b.png")
    add(lab.parent, "a.png")
    assert "2, 4" in refusal(tabulate(lab, "image,label", "a.png,0", "b.png,1", "../a.png,0"))


def test_a_patient_may_be_in_train_and_val(lab: Path) -> None:
    add(lab, "a.png", "b.png", "c.png")
    tabulate(lab, "image,label,patient,split", "a.png,0,A,train", "b.png,1,A,val", "c.png,1,B,test")
    assert len(read(lab)) == 3


@pytest.mark.parametrize("data", [b"PK\x03\x04rest of an .xlsx", two_colors(), b"\xff\xfe\x00", b"\x00" * 99])
def test_a_file_that_is_no_table_is_refused(data: bytes, lab: Path) -> None:
    (lab / "cells.csv").write_bytes(data)
    refusal(lab / "cells.csv")


@pytest.mark.parametrize("classes", [["Parasitized", "Uninfected"], ["1", "0"], ["sick", "Sick"], ["1", "2"]])
def test_classes_that_would_swap_labels_are_refused(classes: list[str], lab: Path) -> None:
    add(lab, "Uninfected/a.png", "Parasitized/b.png")
    with pytest.raises(UserError, match=r"download\.classes"):
        read_labels(lab, classes)


# The archive


def write(source: Path, out: Path) -> pd.DataFrame:
    params = changed({"download.source": "own", "download.path": str(source), "download.classes": CLASSES})
    return write_cells(Params.model_validate(params).download, out / "cells.zip")


def test_the_archive_has_the_bytes_of_the_files_and_the_index_its_order(lab: Path, tmp_path: Path) -> None:
    add(lab, "healthy/P1/z.png", "healthy/Z.png", "infected/a.png")
    index = write(lab, tmp_path)
    archive = open_archive(tmp_path / "cells.zip")
    assert index.columns.tolist() == ["name", "label", "patient"]
    assert archive.namelist() == index.name.tolist() == sorted(index.name)
    assert {name: archive.read(name) for name in index.name} == {name: (lab / name).read_bytes() for name in index.name}
    assert index.label.tolist() == [0, 0, 1]
    again = write(lab, tmp_path / "again")
    assert again.equals(index)
    assert (tmp_path / "again/cells.zip").read_bytes() == (tmp_path / "cells.zip").read_bytes()


def test_the_order_of_the_table_changes_nothing(lab: Path, tmp_path: Path) -> None:
    add(lab, "a.png", "b.png", "c.png")
    lines = ["a.png,0,train,1.jpg", "b.png,1,test,", "c.png,0,test,2.jpg"]
    tabulate(lab, "image,label,split,photo", *lines)
    index = write(lab, tmp_path)
    assert index.columns.tolist() == ["name", "label", "patient", "photo", "split"]
    tabulate(lab, "image,label,split,photo", *reversed(lines))
    assert write(lab, tmp_path / "again").equals(index)


def test_only_of_a_table_alone_is_it_said_that_dvc_does_not_track_its_images(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(lab, "a.png", "b.png")
    path = tabulate(lab, "image,label", "a.png,0", "b.png,1")
    index = write(lab, tmp_path)
    assert capsys.readouterr().err == ""
    assert write(path, tmp_path).equals(index)
    assert capsys.readouterr().err.count("\n") == 1
    read_labels(path, CLASSES)
    assert capsys.readouterr().err == ""
    other = path.rename(lab / "mine.csv")
    write(other, tmp_path)
    assert "labels.csv" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["dangling link", "too large"])
def test_an_image_that_cannot_be_read_is_named_and_leaves_the_archive_as_it_was(
    what: str, lab: Path, tmp_path: Path
) -> None:
    add(lab, "healthy/a.png", "infected/b.png")
    (tmp_path / "cells.zip").write_text("old")
    if what == "dangling link":
        (lab / "infected/c.png").symlink_to(lab / "gone.png")
    else:
        with (lab / "infected/c.png").open("wb") as file:
            file.truncate(MAX_BYTES + 1)
    with pytest.raises(UserError, match=r"infected/c\.png"):
        write(lab, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"lab", "cells.zip"}
    assert (tmp_path / "cells.zip").read_text() == "old"


def test_an_image_that_is_none_is_for_preprocess_to_find(lab: Path, tmp_path: Path) -> None:
    add(lab, "healthy/a.png", "infected/b.png")
    (lab / "infected/b.png").write_text("no image")
    assert len(write(lab, tmp_path)) == 2


@pytest.mark.slow
def test_a_hundred_thousand_rows_take_seconds(lab: Path) -> None:
    (lab / "one").mkdir()
    for n in range(1000):
        (lab / f"one/{n}.png").write_bytes(b"")
    for n in range(100):  # 100 names of each file
        (lab / f"d{n}").symlink_to(lab / "one")
    names = [f"d{n // 1000}/{n % 1000}.png" for n in range(100_000)]
    rows = [f"{name},{n % 2},P{n % 300},{('train', 'val', 'test')[n % 3]}" for n, name in enumerate(names)]
    path = tabulate(lab, "image,label,patient,split", *rows)
    start = time.process_time()
    table = read_labels(path, CLASSES)
    assert time.process_time() - start < 30  # it takes some 3 s
    assert table.name.tolist() == names
