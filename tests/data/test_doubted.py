"""A list of cells whose labels were doubted is read as people make it, or refused with what is wrong and what to do."""

from pathlib import Path

import pandas as pd
import pytest

from malaria.core.errors import UserError
from malaria.data.doubted import read_doubted
from malaria.params import NOTHING

SPLIT = pd.DataFrame({"name": ["a.png", "b.png", "c.png", "NA"], "split": ["train", "val", "test", "test"]})


def test_without_a_file_there_is_no_list() -> None:
    assert read_doubted(NOTHING, SPLIT) is None


@pytest.mark.parametrize(
    "content",
    [
        b"name\nc.png\nelsewhere.png\n",
        b'label,name,why\r\n1,c.png,\r\n0,elsewhere.png,"a, b"\r\n',
        b"\xef\xbb\xbfname\nc.png \n\nelsewhere.png\nc.png\n",
    ],
    ids=["names alone", "more columns", "a byte order mark, blanks and a name twice"],
)
def test_names_are_read_whatever_else_is_in_the_file_and_those_of_other_cells_do_no_harm(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "doubted.csv").write_bytes(content)
    assert read_doubted(str(tmp_path / "doubted.csv"), SPLIT) == {"c.png", "elsewhere.png"}


def test_a_cell_may_have_a_name_that_reads_as_missing(tmp_path: Path) -> None:
    (tmp_path / "doubted.csv").write_text("name\nNA\n")
    assert read_doubted(str(tmp_path / "doubted.csv"), SPLIT) == {"NA"}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"image,label\nc.png,1\n", "image"),
        (b"name\nelsewhere.png\n", "a.png"),  # what the names of the split are like
        (b"name\n", "a.png"),
        (b"name\nc.png\nNA\n", "all cells of test"),
        (b"", "no column name"),
        (b"PK\x03\x04\xff\xfe\x00", "CSV"),
        (b'name\n"c.png\n', "CSV"),
    ],
    ids=["no column", "no cell of the split", "no row", "all of test", "empty", "no text", "an open quote"],
)
def test_a_file_that_is_of_no_use_is_refused_by_name(content: bytes, named: str, tmp_path: Path) -> None:
    (path := tmp_path / "doubted.csv").write_bytes(content)
    with pytest.raises(UserError) as refusal:
        read_doubted(str(path), SPLIT)
    assert all(words in str(refusal.value) for words in ("evaluate.doubted", str(path), named, NOTHING))


@pytest.mark.parametrize("name", ["nowhere.csv", "."])
def test_a_missing_file_and_a_folder_are_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        read_doubted(str(tmp_path / name), SPLIT)
    assert all(words in str(refusal.value) for words in ("evaluate.doubted", str(tmp_path / name), NOTHING))
