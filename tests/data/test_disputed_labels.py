"""Files of disputed labels are read as people make them, or refused with what is wrong and what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from malaria.core.errors import UserError
from malaria.data.disputed_labels import correct_labels, count_changed, read_corrections, read_doubted
from malaria.params import NOTHING

SPLIT = pd.DataFrame(
    {
        "name": ["a.png", "b.png", "c.png", "NA"],
        "label": [0, 1, 0, 1],
        "split": ["train", "val", "test", "test"],
    }
)
READERS: dict[str, Callable[[str, pd.DataFrame], Any]] = {
    "evaluate.doubted": read_doubted,
    "evaluate.corrections": read_corrections,
}


@pytest.fixture(params=READERS)
def key(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def read(key: str, content: bytes, folder: Path) -> Any:
    """What the file that a param names says."""
    (path := folder / "some.csv").write_bytes(content)
    return READERS[key](str(path), SPLIT)


def refuse(key: str, path: Path) -> str:
    """The message of the refusal, which names the param, the file and the way out."""
    with pytest.raises(UserError) as refusal:
        READERS[key](str(path), SPLIT)
    message = str(refusal.value)
    assert all(words in message for words in (key, str(path), NOTHING))
    return message


def test_without_a_file_nothing_is_disputed(key: str) -> None:
    assert READERS[key](NOTHING, SPLIT) is None


@pytest.mark.parametrize(
    "content",
    [
        b"name,label\nc.png,1\nelsewhere.png,0\n",
        b'label,name,why\r\n1,c.png,\r\n0,elsewhere.png,"a, b"\r\n',
        b"\xef\xbb\xbfname,label\nc.png , 1\n\nelsewhere.png,0 \nc.png,1\n,\n",
    ],
    ids=["no more than is needed", "more columns", "a byte order mark, blanks and a name twice"],
)
def test_files_are_read_whatever_else_is_in_them_and_names_of_other_cells_do_no_harm(
    content: bytes, tmp_path: Path
) -> None:
    assert read("evaluate.doubted", content, tmp_path) == {"c.png", "elsewhere.png"}
    assert read("evaluate.corrections", content, tmp_path) == {"c.png": 1, "elsewhere.png": 0}


def test_doubted_cells_need_no_label(tmp_path: Path) -> None:
    assert read("evaluate.doubted", b"name\nc.png\n", tmp_path) == {"c.png"}


def test_a_cell_may_have_a_name_that_reads_as_missing(key: str, tmp_path: Path) -> None:
    assert {*read(key, b"name,label\nNA,1\n", tmp_path)} == {"NA"}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"image,labels\nc.png,1\n", "image"),
        (b"name,label\nelsewhere.png,1\n", "a.png"),  # what the names of the split are like
        (b"name,label\n", "a.png"),
        (b"name,label\nc.png,unsure\nNA,not a single cell\n", "all cells of test"),
        (b"", "no column name"),
        (b"PK\x03\x04\xff\xfe\x00", "CSV"),
        (b'name,label\n"c.png\n', "CSV"),
    ],
    ids=["no column", "no cell of the split", "no row", "all of test", "empty", "no text", "an open quote"],
)
def test_a_file_that_is_of_no_use_is_refused_by_name(key: str, content: bytes, named: str, tmp_path: Path) -> None:
    (path := tmp_path / "some.csv").write_bytes(content)
    assert named in refuse(key, path)


@pytest.mark.parametrize("name", ["nowhere.csv", "."])
def test_a_missing_file_and_a_folder_are_refused_by_name(key: str, name: str, tmp_path: Path) -> None:
    refuse(key, tmp_path / name)


@pytest.mark.parametrize(
    ("label", "read_as"),
    [
        *[("Parasitized", 1), ("uninfected", 0), ("UNINFECTED", 0), ("1", 1), ("0", 0)],
        *[("unsure", None), ("Unsure", None), ("not a single cell", None), ("Not a single cell", None)],
    ],
)
def test_a_correction_is_a_class_or_its_number_or_leaves_the_cell_out(
    label: str, read_as: int | None, tmp_path: Path
) -> None:
    assert read("evaluate.corrections", f"name,label\nc.png,{label}\n".encode(), tmp_path) == {"c.png": read_as}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("name\nc.png\n", ["no column label"]),
        ("name,label\nb.png,1\n\nc.png,infected\n", ["row 4", "'infected'"]),
        ("name,label\nb.png,1\nc.png,\n", ["row 3", "''"]),
        ("name,label\nb.png\n", ["row 2", "''"]),
        ("name,label\nc.png,1\nb.png,1\nc.png,0\n", ["c.png", "rows 2 and 4"]),
        ("name,label\nb.png,1\nc.png,unsure\nc.png,0\n", ["c.png", "rows 3 and 4"]),
        ("name,label\nc.png,1\nc.png,unsure\n", ["c.png", "rows 2 and 3"]),
    ],
)
def test_labels_that_are_missing_unknown_or_contradict_each_other_are_refused_by_row(
    content: str, named: list[str], tmp_path: Path
) -> None:
    (path := tmp_path / "some.csv").write_text(content)
    message = refuse("evaluate.corrections", path)
    assert all(words in message for words in named)


def test_a_name_may_come_twice_with_one_label_in_two_words(tmp_path: Path) -> None:
    content = b"name,label\nc.png,1\nc.png,Parasitized\nb.png,unsure\nb.png,not a single cell\n"
    assert read("evaluate.corrections", content, tmp_path) == {"c.png": 1, "b.png": None}


def test_all_of_test_may_be_named_as_long_as_a_cell_is_left(tmp_path: Path) -> None:
    content = b"name,label\nc.png,unsure\nNA,1\n"
    assert read("evaluate.corrections", content, tmp_path) == {"c.png": None, "NA": 1}


def test_corrections_change_labels_and_leave_out_cells_and_the_others_stay_as_they_are() -> None:
    corrections = {"a.png": 1, "b.png": None, "c.png": 0, "elsewhere.png": 1}
    corrected = correct_labels(SPLIT, corrections)
    expected = SPLIT.drop(index=1).assign(label=[1, 0, 1])
    pd.testing.assert_frame_equal(corrected, expected)
    assert count_changed(SPLIT, corrections) == 1
    pd.testing.assert_frame_equal(correct_labels(SPLIT, {}), SPLIT)
    assert count_changed(SPLIT, {}) == 0
