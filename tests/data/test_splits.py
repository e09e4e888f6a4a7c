"""No patient in two splits, every cell tested in one fold, and the impossible refused in words."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from malaria.data.splits import assign_splits, describe_cells, summarise_split

SPLITS = ["train", "val", "test"]


def table(counts: list[tuple[int, int]]) -> pd.DataFrame:
    """Cells of patients with so many (uninfected, parasitized) cells each."""
    names = [
        f"{folder}/C{patient}P1ThinF_IMG_1_1_cell_{cell + 1000 * (folder == 'Parasitized')}.png"
        for patient, pair in enumerate(counts, 1)
        for folder, count in zip(("Uninfected", "Parasitized"), pair, strict=True)
        for cell in range(count)
    ]
    return describe_cells(names)


EVEN = table([(10, 10)] * 20)
PATIENTS = st.lists(st.tuples(st.integers(1, 15), st.integers(0, 30)), min_size=12, max_size=30)


def test_cells_are_described_and_sorted_by_name() -> None:
    cells = describe_cells(["Uninfected/C2_thinF_IMG_1_2_cell_3.png", "Parasitized/C1P1ThinF_IMG_4_5_cell_6.png"])
    assert cells.to_dict("records") == [
        {"name": "Parasitized/C1P1ThinF_IMG_4_5_cell_6.png", "label": 1, "patient": "C1", "smear": "C1P1ThinF_IMG_4_5"},
        {"name": "Uninfected/C2_thinF_IMG_1_2_cell_3.png", "label": 0, "patient": "C2", "smear": "C2_thinF_IMG_1_2"},
    ]


@settings(deadline=None, max_examples=50)
@given(counts=PATIENTS, folds=st.integers(2, 5), val=st.sampled_from([0.1, 0.2, 0.34]), seed=st.integers(0, 99))
def test_no_patient_is_in_two_splits(counts: list[tuple[int, int]], folds: int, val: float, seed: int) -> None:
    cells = table(counts)
    try:
        split = assign_splits(cells, "patient", folds, folds - 1, val, seed)
    except ValueError:  # too few patients with parasites to be dealt out: refused, see below
        return
    assert set(split) == set(SPLITS)
    assert (cells.assign(split=split).groupby("patient").split.nunique() == 1).all()


@pytest.mark.parametrize("by", ["patient", "cell"])
def test_each_cell_is_tested_in_exactly_one_fold(by: str) -> None:
    folds = [assign_splits(EVEN, by, 5, fold, 0.125, 42) == "test" for fold in range(5)]
    assert (pd.concat(folds, axis=1).sum(axis=1) == 1).all()


@pytest.mark.parametrize("by", ["patient", "cell"])
def test_shares_and_balance_are_about_those_asked_for(by: str) -> None:
    cells = EVEN.assign(split=assign_splits(EVEN, by, 5, 0, 0.25, 42))
    shares = cells.split.value_counts(normalize=True)
    assert shares["test"] == pytest.approx(0.2, abs=0.03)
    assert shares["val"] == pytest.approx(0.2, abs=0.03)
    assert cells.groupby("split").label.mean().tolist() == pytest.approx([0.5] * 3, abs=0.03)


def test_by_cell_patients_are_shared_as_in_the_notebook() -> None:
    cells = EVEN.assign(split=assign_splits(EVEN, "cell", 5, 0, 0.125, 42))
    assert (cells.groupby("patient").split.nunique() > 1).all()


def test_the_seed_decides() -> None:
    first, again, other = (assign_splits(EVEN, "patient", 5, 0, 0.125, seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize(
    ("counts", "folds", "val", "message"),
    [
        ([(5, 5)] * 4, 5, 0.2, "cannot deal the 4 patients with Uninfected cells into 5 parts"),
        ([(5, 5)] * 4 + [(5, 0)] * 20, 5, 0.2, "cannot deal the 4 patients with Parasitized cells into 5 parts"),
        ([(5, 5)] * 10, 5, 0.01, "into 100 parts: lower split.folds or raise split.val"),
        ([(5, 0)] * 10, 2, 0.5, "the 0 patients with Parasitized cells"),
    ],
)
def test_the_impossible_is_refused_in_words(
    counts: list[tuple[int, int]], folds: int, val: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        assign_splits(table(counts), "patient", folds, 0, val, 42)


def test_a_summary_counts_cells_patients_and_parasitized_cells() -> None:
    cells = table([(3, 1), (2, 0), (1, 4)])
    cells = cells.assign(split=cells.patient.map({"C1": "val", "C2": "train", "C3": "test"}))
    assert summarise_split(cells).to_dict("records") == [
        {"split": "train", "cells": 2, "patients": 1, "parasitized": 0, "healthy": 1},
        {"split": "val", "cells": 4, "patients": 1, "parasitized": 1, "healthy": 0},
        {"split": "test", "cells": 5, "patients": 1, "parasitized": 4, "healthy": 0},
    ]


def test_smears_of_one_patient_stay_together() -> None:
    names = [f"Uninfected/C47P8thin_Original_Motic_IMG_1_1_cell_{n}.png" for n in range(5)]
    names += [f"Parasitized/C47P8thinOriginalOlympusCX21_IMG_1_1_cell_{n}.png" for n in range(5)]
    others = EVEN.name.tolist()
    cells = describe_cells(names + others)
    for fold in range(5):
        split = assign_splits(cells, "patient", 5, fold, 0.125, 42)
        assert split[cells.patient == "C47"].nunique() == 1
