from pathlib import Path

import pandas as pd
import pytest
from malaria.predict.groups import NONE, Tally, choose_grouping

from malaria.core.errors import UserError


def test_counts_are_added_over_tables_with_wilsons_interval() -> None:
    table = pd.DataFrame(
        {
            "image": ["a/1.png", "a/2.png", "b/1.png"],
            "prediction": ["Parasitized", "Parasitized", "Uninfected"],
            "uncertain": [True, False, False],
            "ood": ["", "area", ""],
        }
    )
    tally = Tally(choose_grouping("folder"))
    tally.add(table)
    tally.add(table[:1])
    a, b = tally.summarise().to_dict("records")
    assert (a["group"], a["cells"], a["parasitized"], a["uncertain"], a["ood"], a["share"]) == ("a", 3, 3, 2, 1, 1)
    assert a["low"] == pytest.approx(3 / (3 + 1.959964**2))
    assert a["high"] == 1
    assert (b["group"], b["cells"], b["parasitized"], b["low"]) == ("b", 1, 0, 0)


def test_groups_are_folders_patients_or_those_of_a_csv_file(tmp_path: Path) -> None:
    csv = tmp_path / "patients.csv"
    csv.write_text("image,patient,age\ncell.png,Anna,30\nx/other.png,007,20\n")
    for by, name, expected in (
        ("folder", "a/b/cell.png", "a/b"),
        ("patient", "a/C47P8ThinF_IMG_1_cell_1.png", "C47"),
        ("patient", "a/cell.png", NONE),
        (str(csv), "a/cell.png", "Anna"),
        (str(csv), "x/other.png", "007"),
        (str(csv), "a/unknown.png", NONE),
    ):
        assert choose_grouping(by)(name) == expected


def test_an_unknown_grouping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    for by, named in ((str(tmp_path / "bad.csv"), "a, b"), ("patients", "patients")):
        with pytest.raises(UserError, match=named):
            choose_grouping(by)
