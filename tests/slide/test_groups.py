"""Cells are counted by photograph, patient or folder, and the parasitemia is that of each group."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from malaria.core.errors import UserError
from malaria.data.image_files import ImageFile
from malaria.slide.groups import COLUMNS, NONE, Rates, Tally, choose_grouping
from malaria.slide.parasitemia import estimate_parasitemia
from malaria.smear.files import Decoded
from malaria.smear.photograph import Photograph
from tests.support.models import ERROR_RATES

RATES: Rates = ERROR_RATES.at(0.5)
NO_CELLS = np.zeros((0, 32, 32, 3), np.uint8)


def tabulate(images: list[str], kinds: list[str], called: list[int]) -> pd.DataFrame:
    """Cells, those that are called parasitized also uncertain and out of distribution."""
    positive = np.array(called, bool)
    columns = {"image": images, "kind": kinds, "prediction": np.where(positive, "Parasitized", "Uninfected")}
    return pd.DataFrame(columns | {"uncertain": positive, "ood": np.where(positive, "area", "")})


def crops(images: list[str], called: list[int]) -> Decoded:
    return Decoded(tabulate(images, [""] * len(images), called), NO_CELLS, [], len(images))


def photograph(name: str, kinds: list[str], called: list[int], clumps: int = 0) -> Decoded:
    found = Photograph([], Counter(clump=clumps), 40.0, 200.0, 0.3, 1.0)
    return Decoded(tabulate([name] * len(kinds), kinds, called), NO_CELLS, [], 1, ImageFile(name), found)


def summarise(by: str, *parts: Decoded, rates: Rates = RATES, red_cells: float = 5e6) -> dict[str, dict[str, object]]:
    """Each group's row."""
    tally = Tally(choose_grouping(by), rates, red_cells)
    for part in parts:
        tally.add(part)
    table = tally.summarise()
    assert table.columns.tolist() == COLUMNS
    return {row["group"]: row for row in table.to_dict("records")}


def test_crops_are_added_over_parts_as_if_of_one_photograph() -> None:
    part = crops(["a/1.png", "a/2.png", "b/1.png"], [1, 1, 0])
    rows = summarise("folder", part, crops(["a/1.png"], [1]))
    counts = ["photographs", "cells", "parasitized", "uncertain", "ood", "border", "clumps"]
    assert [rows["a"][name] for name in counts] == [0, 3, 3, 3, 3, 0, 0]
    assert [rows["b"][name] for name in counts] == [0, 1, 0, 0, 0, 0, 0]
    expected = estimate_parasitemia(np.array([3]), np.array([3]), *RATES)
    assert rows["a"]["high"] == pytest.approx(100 * expected.high, abs=1e-3)


def test_of_a_photograph_cells_at_the_border_and_clumps_are_told_but_do_not_count() -> None:
    kinds = ["single", "clumped", "border", "border", "single"]
    rows = summarise("photo", photograph("a.jpg", kinds, [1, 0, 1, 1, 0], clumps=2), photograph("b.jpg", [], []))
    row = rows["a.jpg"]
    assert (row["photographs"], row["cells"], row["parasitized"], row["border"], row["clumps"]) == (1, 3, 1, 2, 2)
    assert row["uncertain"] == row["ood"] == 1
    assert (rows["b.jpg"]["cells"], rows["b.jpg"]["photographs"]) == (0, 1)
    assert np.isnan(rows["b.jpg"]["parasitemia"])
    assert pd.isna(rows["b.jpg"]["more"])


def test_the_parasitemia_is_that_of_all_photographs_of_a_group() -> None:
    called = [[1] * 10 + [0] * 90, [1] * 4 + [0] * 46]
    parts = [photograph(f"p/{n}.jpg", ["single"] * len(of), of) for n, of in enumerate(called)]
    row = summarise("folder", *parts, red_cells=4e6)["p"]
    expected = estimate_parasitemia(np.array([10, 4]), np.array([100, 50]), *RATES)
    assert (row["photographs"], row["cells"], row["parasitized"]) == (2, 150, 14)
    for name, value in {"parasitemia": expected.parasitemia, "low": expected.low, "high": expected.high}.items():
        assert row[name] == pytest.approx(100 * value, abs=1e-3)
    assert row["per_ul"] == pytest.approx(4e6 * expected.parasitemia, rel=0.05)  # two digits


def test_a_group_may_have_both_crops_and_photographs() -> None:
    row = summarise("folder", photograph("p/a.jpg", ["single"], [1]), crops(["p/b.png"], [0]))["p"]
    assert (row["photographs"], row["cells"], row["parasitized"]) == (1, 2, 1)


def test_whether_there_are_crops_is_known() -> None:
    tally = Tally(choose_grouping("photo"), RATES)
    tally.add(photograph("a.jpg", ["single"], [0]))
    assert not tally.has_crops
    tally.add(crops(["b.png"], [0]))
    assert tally.has_crops


def test_without_error_rates_there_are_counts_and_no_parasitemia() -> None:
    row = summarise("photo", photograph("a.jpg", ["single"] * 9, [1] * 9), rates=(None, None))["a.jpg"]
    assert (row["cells"], row["parasitized"]) == (9, 9)
    assert all(pd.isna(row[name]) for name in ("parasitemia", "low", "high", "any", "more", "per_ul"))


def test_without_images_there_are_no_groups() -> None:
    assert summarise("photo") == {}
    assert summarise("photo", crops([], [])) == {}


def test_groups_are_folders_patients_files_or_those_of_a_csv_file(tmp_path: Path) -> None:
    csv = tmp_path / "patients.csv"
    csv.write_text("\ufeffimage;patient;age\r\ncell.png;Anna;30\r\nx/other.png;007;20\r\n")
    for by, name, expected in (
        ("photo", "a/b/cell.png", "a/b/cell.png"),
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
