"""The index is read as it was written."""

from pathlib import Path

import pandas as pd

from malaria.core.artifacts import write_csv
from malaria.data.index import CLASSES, COLUMNS, read_index


def test_names_and_patients_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    index = pd.DataFrame([("1.png", 0, "007"), ("NA", 1, "nan"), ("3.png", 1, "")], columns=COLUMNS)
    write_csv(tmp_path / "cells.csv", index)
    read = read_index(tmp_path / "cells.csv")
    assert read.to_dict("records") == index.to_dict("records")
    assert read.label.dtype == "int64"


def test_the_positive_class_is_parasitized() -> None:
    assert CLASSES[1] == "Parasitized"
