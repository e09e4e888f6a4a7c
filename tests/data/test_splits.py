"""No patient is in two splits, every cell is tested in one fold, and the impossible is refused."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from malaria.data.index import CLASSES, COLUMNS
from malaria.data.splits import assign_splits, summarise_split
from malaria.params import Params, Split
from malaria.sources import nih
from tests.support.param_fields import ends_of, read_tree

PARAMS = Params.model_validate(read_tree()).split
SPLITS = {"train", "val", "test"}


def index(counts: list[tuple[int, int]]) -> pd.DataFrame:
    """Cells of patients with so many (uninfected, parasitized) cells each."""
    rows = [
        (f"{CLASSES[label]}/{patient}_{cell}.png", label, f"C{patient}")
        for label in (1, 0)
        for patient, pair in enumerate(counts, 1)
        for cell in range(pair[label])
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def split(cells: pd.DataFrame, **params: object) -> pd.Series:
    return assign_splits(cells, Split(**(PARAMS.model_dump() | params)))


EVEN = index([(10, 10)] * 20)
PATIENTS = st.lists(st.tuples(st.integers(1, 15), st.integers(0, 30)), min_size=12, max_size=30)


@settings(deadline=None, max_examples=30)
@given(counts=PATIENTS, folds=st.integers(2, 5), val=st.sampled_from([0.1, 0.2, 0.34]), seed=st.integers(0, 99))
def test_no_patient_is_in_two_splits(counts: list[tuple[int, int]], folds: int, val: float, seed: int) -> None:
    cells = index(counts)
    try:
        cells["split"] = split(cells, folds=folds, fold=folds - 1, val=val, seed=seed)
    except ValueError:  # too few patients with parasitized cells: see below
        return
    assert set(cells.split) == SPLITS
    assert (cells.groupby("patient").split.nunique() == 1).all()


@pytest.mark.parametrize("by", ["patient", "cell"])
def test_each_cell_is_tested_in_one_fold_and_splits_have_the_shares_asked_for(by: str) -> None:
    folds = [split(EVEN, by=by, fold=fold, val=0.25) for fold in range(5)]
    assert (pd.concat([fold == "test" for fold in folds], axis=1).sum(axis=1) == 1).all()
    for fold in folds:
        shares = fold.value_counts(normalize=True)
        assert shares[["test", "val"]].tolist() == pytest.approx([0.2, 0.2], abs=0.03)
        assert EVEN.label.groupby(fold).mean().tolist() == pytest.approx([0.5] * 3, abs=0.03)


def test_named_patients_are_the_test_set_and_no_other_split_has_them() -> None:
    cells = split(EVEN, test_patients=["C3", "C7"])
    assert set(EVEN.patient[cells == "test"]) == {"C3", "C7"}
    assert (cells.groupby(EVEN.patient).nunique() == 1).all()
    assert set(cells) == SPLITS


def test_a_named_patient_without_cells_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"C99.*split\.test_patients"):
        split(EVEN, test_patients=["C3", "C99"])


def test_by_cell_patients_are_in_several_splits_as_in_the_notebook() -> None:
    assert (split(EVEN, by="cell").groupby(EVEN.patient).nunique() > 1).all()


def test_the_seed_decides() -> None:
    assert split(EVEN, seed=1).equals(split(EVEN, seed=1))
    assert not split(EVEN, seed=1).equals(split(EVEN, seed=2))


@pytest.mark.parametrize(
    ("counts", "params", "values"),
    [
        ([(5, 5)] * 4, {}, "4 .* Uninfected .* 5 .* split.folds"),
        ([(5, 5)] * 4 + [(5, 0)] * 20, {}, "4 .* Parasitized .* 5 .* split.folds"),
        ([(5, 5)] * 10, {"val": 0.01}, "8 .* Uninfected .* 100 .* split.val"),
        ([(5, 5)] * 10, {"val": 0.01, "by": "cell"}, "40 Uninfected cells .* 100 .* split.val"),
        ([(5, 0)] * 10, {"folds": 2}, "0 patients .* Parasitized"),
        ([(9, 9)], {}, "1 .* Uninfected .* 5 .* more patients"),
        ([(2, 1)], {"by": "cell"}, "2 Uninfected cells"),
        ([], {}, "0 patients"),
    ],
)
def test_a_split_that_would_lack_a_class_is_refused(
    counts: list[tuple[int, int]], params: dict[str, object], values: str
) -> None:
    with pytest.raises(ValueError, match=values):
        split(index(counts), **params)


FIXED = EVEN.assign(split=EVEN.patient.map(lambda name: {"C1": "test", "C2": "test", "C3": "val"}.get(name, "train")))
WITHOUT_VAL = FIXED.replace({"split": {"val": "train"}})


@pytest.mark.parametrize("by", ["patient", "cell"])
def test_a_split_that_the_index_names_is_kept(by: str) -> None:
    assert split(FIXED, by=by, fold=3, seed=9).tolist() == FIXED["split"].tolist()


@pytest.mark.parametrize("by", ["patient", "cell"])
def test_where_the_index_names_no_val_it_is_drawn_from_train(by: str) -> None:
    assigned = split(WITHOUT_VAL, by=by, val=0.25)
    assert ((assigned == "test") == (WITHOUT_VAL["split"] == "test")).all()
    assert (assigned == "val").sum() / (assigned != "test").sum() == pytest.approx(0.25, abs=0.04)
    assert (assigned.groupby(EVEN.patient).nunique() == 1).all() == (by == "patient")
    assert not assigned.equals(split(WITHOUT_VAL, by=by, val=0.25, seed=1))


@pytest.mark.parametrize(
    ("wrong", "values"),
    [
        (FIXED.replace({"split": {"test": "train"}}), "Uninfected .* test"),
        (FIXED.replace({"split": {"train": "test"}}), "Uninfected .* train"),
        (FIXED[(FIXED["split"] != "val") | (FIXED.label == 0)], "Parasitized .* val"),
        (FIXED[FIXED.patient.isin(["C1", "C4"])], "1 .* 8 .* split.val"),
    ],
)
def test_a_split_of_the_index_that_lacks_a_class_is_refused(wrong: pd.DataFrame, values: str) -> None:
    with pytest.raises(ValueError, match=values):
        split(wrong)


def test_a_summary_counts_cells_patients_and_parasitized_cells() -> None:
    cells = index([(3, 1), (2, 0), (1, 4)])
    cells = cells.assign(split=cells.patient.map({"C1": "val", "C2": "train", "C3": "test"}))
    assert summarise_split(cells).to_csv(index=False).splitlines() == [
        "split,cells,patients,parasitized,healthy",
        "train,2,1,0,1",
        "val,4,1,1,0",
        "test,5,1,4,0",
    ]


@pytest.mark.slow
def test_nlms_cells_can_be_split_at_every_end_of_the_params() -> None:
    cells, ends = nih.make_index(nih.manifest()), ends_of("split")
    refused = set()
    for by, folds, val in [(by, folds, val) for by in ends["by"] for folds in ends["folds"] for val in ends["val"]]:
        for fold, seed in ((0, ends["seed"][0]), (folds - 1, ends["seed"][1])):
            try:
                assert set(split(cells, by=by, folds=folds, fold=fold, val=val, seed=seed)) == SPLITS
            except ValueError:
                refused.add((by, folds, val))
    assert refused == {("patient", 2, 0.01)}  # half of the patients into a hundred parts
