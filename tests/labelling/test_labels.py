"""A reader's labels are on disk after each change, go on where they stopped, and are what adapt and evaluate read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from malaria.core.errors import UserError
from malaria.data.index import CLASSES
from malaria.labelling.labels import LABELS, LabelFile, Row, find_readers, reader_path
from malaria.sources.own import read_labels
from tests.support.images import two_colors

INFECTED, HEALTHY, NO_CELL, UNSURE = LABELS


@pytest.fixture
def file(tmp_path: Path) -> LabelFile:
    """Three cells of two photographs."""
    file = LabelFile(tmp_path / "labels-anna.csv")
    file.set("1/a.png", INFECTED, "P1", "1.jpg", "active")
    file.set("1/b.png", HEALTHY, "P1", "1.jpg", "random")
    file.set("2/c.png", UNSURE, "", "2.jpg", "clicked")
    return file


def reopened(file: LabelFile) -> dict[str, Row]:
    """The labels on disk, which are those in memory."""
    on_disk = dict(LabelFile(file.path).labels)
    assert list(on_disk.items()) == list(file.labels.items())
    return on_disk


def given(file: LabelFile) -> dict[str, str]:
    return {image: row.label for image, row in reopened(file).items()}


def test_labels_go_on_where_they_stopped_in_the_order_in_which_they_were_given(file: LabelFile) -> None:
    file = LabelFile(file.path)
    file.set("1/0.png", NO_CELL, 'Müller; "M", 007', "NA", "active")
    assert list(reopened(file)) == ["1/a.png", "1/b.png", "2/c.png", "1/0.png"]
    assert file.labels["1/0.png"] == Row(NO_CELL, 'Müller; "M", 007', "NA", "active")


def test_there_is_no_file_before_the_first_label(tmp_path: Path) -> None:
    file = LabelFile(tmp_path / "labels-anna.csv")
    assert file.labels == {}
    assert file.undo() is None
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_read_as_own_cells_without_those_set_aside(file: LabelFile) -> None:
    for image in ("1/a.png", "1/b.png"):
        (file.path.parent / image).parent.mkdir(exist_ok=True)
        (file.path.parent / image).write_bytes(two_colors())
    table = read_labels(file.path, CLASSES)
    assert table[["name", "label", "patient", "photo"]].to_numpy().tolist() == [
        ["1/a.png", 1, "P1", "1.jpg"],
        ["1/b.png", 0, "P1", "1.jpg"],
    ]


def test_a_relabelled_cell_keeps_its_place_and_how_it_was_chosen(file: LabelFile) -> None:
    file.set("1/b.png", INFECTED, "P1", "1.jpg", "clicked")
    file.set("1/a.png", HEALTHY, "P1", "1.jpg", "random")
    assert given(file) == {"1/a.png": HEALTHY, "1/b.png": INFECTED, "2/c.png": UNSURE}
    assert [row.chosen for row in file.labels.values()] == ["random", "random", "clicked"]


def test_undo_takes_back_one_change_after_the_other_until_nothing_is_left(file: LabelFile) -> None:
    file.set("1/a.png", HEALTHY, "P1", "1.jpg", "clicked")
    assert file.undo() == "1/a.png"
    assert given(file) == {"1/a.png": INFECTED, "1/b.png": HEALTHY, "2/c.png": UNSURE}
    assert [file.undo(), file.undo(), file.undo(), file.undo()] == ["2/c.png", "1/b.png", "1/a.png", None]
    assert not file.path.exists()


def test_undo_in_a_later_session_removes_the_last_row(file: LabelFile) -> None:
    file = LabelFile(file.path)
    assert file.undo() == "2/c.png"
    assert list(given(file)) == ["1/a.png", "1/b.png"]


def test_undo_of_a_label_keeps_what_was_said_of_the_cell_since(file: LabelFile) -> None:
    file.set("2/c.png", HEALTHY, "", "2.jpg", "clicked")
    file.mark_random("2/c.png")
    file.set_patient("2.jpg", "P2")
    file.undo()
    assert reopened(file)["2/c.png"] == Row(UNSURE, "P2", "2.jpg", "random")


def test_the_patient_of_a_photograph_is_that_of_all_its_cells(file: LabelFile) -> None:
    file.set_patient("1.jpg", "P7")
    assert [row.patient for row in reopened(file).values()] == ["P7", "P7", ""]


def test_a_cell_that_a_random_draw_reached_counts_as_random(file: LabelFile) -> None:
    file.mark_random("1/a.png")
    assert [row.chosen for row in reopened(file).values()] == ["random", "random", "clicked"]


CHANGES: dict[str, Callable[[LabelFile], object]] = {
    "a new label": lambda file: file.set("d.png", HEALTHY, "", "", "active"),
    "another label": lambda file: file.set("1/a.png", HEALTHY, "", "", "active"),
    "undo": lambda file: file.undo(),
    "random": lambda file: file.mark_random("1/a.png"),
    "patient": lambda file: file.set_patient("1.jpg", "P7"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_a_full_disk_prevents_leaves_labels_and_file_as_they_were(change: str, file: LabelFile) -> None:
    before = reopened(file)
    file.path.with_name(file.path.name + ".tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        CHANGES[change](file)
    assert reopened(file) == before
    assert file.undo() == "2/c.png"  # the change before


@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252"])
def test_a_file_that_was_edited_in_a_spreadsheet_is_read(delimiter: str, encoding: str, tmp_path: Path) -> None:
    rows = [["Image", "Comment", "Label", "Patient", "Photo", "Chosen"]]
    rows += [["ä.png", "stained", "PARASITIZED", "Müller", "1.jpg", "Random"], ["", "", "", "", "", ""]]
    path = tmp_path / "labels.csv"
    path.write_bytes("".join(delimiter.join(row) + "\r\n" for row in rows).encode(encoding))
    assert LabelFile(path).labels == {"ä.png": Row(INFECTED, "Müller", "1.jpg", "random")}


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        (["a.png,infected,,,random"], ["row 2", "infected", UNSURE]),
        (["a.png,unsure,,,random", "b.png,unsure,,,"], ["row 3", "clicked"]),
        (["a.png,unsure,,,random", "a.png,Uninfected,,,random"], ["rows 2, 3", "a.png"]),
        ([], []),
    ],
    ids=["label", "chosen", "image twice", "no rows"],
)
def test_a_table_that_is_wrong_is_refused_by_file_and_row(rows: list[str], named: list[str], tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["image,label,patient,photo,chosen", *rows]) + "\n")
    with pytest.raises(UserError) as refusal:
        LabelFile(path)
    assert [words for words in (str(path), *named) if words not in str(refusal.value)] == []


def test_the_files_of_readers_are_found_by_their_names(tmp_path: Path) -> None:
    for reader in ("zoë", "anna_2", "reader-1"):
        reader_path(tmp_path, reader).touch()
    for other in ("labels.csv", "labels-.csv", "labels-a b.csv", "labels-anna.csv.tmp"):
        (tmp_path / other).touch()
    assert find_readers(tmp_path) == ["anna_2", "reader-1", "zoë"]


@pytest.mark.parametrize("reader", ["", "a b", "../a", "a.b", "a\n", f"a{os.sep}b"])
def test_a_name_that_no_file_should_have_is_refused(reader: str, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        reader_path(tmp_path, reader)
