"""The index is read as it was written."""

from pathlib import Path

import pandas as pd
import pytest

from malaria.core.artifacts import write_csv
from malaria.data.index import CLASSES, COLUMNS, describe_groups, read_index


def test_names_patients_and_photos_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    cells = [("1.png", 0, "007", "01"), ("NA", 1, "nan", "NA"), ("3.png", 1, "", "2")]
    index = pd.DataFrame(cells, columns=[*COLUMNS, "photo"])
    write_csv(tmp_path / "cells.csv", index)
    read = read_index(tmp_path / "cells.csv")
    assert read.to_dict("records") == index.to_dict("records")
    assert read.label.dtype == "int64"


def test_the_positive_class_is_parasitized() -> None:
    assert CLASSES[1] == "Parasitized"


@pytest.mark.parametrize(
    ("cells", "group"),
    [
        ([("a.png", "P1", "1.jpg"), ("b.png", "2.jpg", "2.jpg")], "patient"),
        ([("a.png", "1.jpg", "1.jpg"), ("b.png", "2.jpg", "2.jpg")], "photo"),
        ([("a.png", "a.png", ""), ("b.png", "b.png", "")], "cell"),
        ([("a.png", "a.png", ""), ("b.png", "P1", "")], "patient"),
    ],
)
def test_the_groups_are_patients_unless_all_of_them_are_photos_or_cells(cells: list[object], group: str) -> None:
    index = pd.DataFrame(cells, columns=["name", "patient", "photo"])
    assert describe_groups(index) == group
    assert describe_groups(index.drop(columns="photo")) == ("patient" if group == "photo" else group)
