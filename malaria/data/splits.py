"""Which cells train, validate and test: by patient, or by cell as the notebook did."""

from collections.abc import Sequence

import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from malaria.data.index import CLASSES, SPLITS
from malaria.params import Split


def assign_splits(index: pd.DataFrame, params: Split) -> pd.Series:
    """The split of each cell of the index: train, val or test, stratified by class as far as patients allow.

    Fold `fold` of `folds` is the test set, or else the cells of `test_patients`; a share of about `val` of the rest is
    for validation. With by "patient" no patient is in two splits (scikit-learn's StratifiedGroupKFold); with "cell"
    cells are split at random. A column `split` of the index is kept as it is; only if it has no val is that drawn, from
    its train.

    Raises:
        ValueError: there are more folds than patients or cells of a class, a split would lack a class, or one of
            `test_patients` has no cells.
    """
    split = _read_fixed(index) if "split" in index else _draw_test(index, params)
    if not (split == "val").any():
        parts = max(2, round(1 / params.val))
        split[_pick_fold(index[split == "train"], params, parts, 0, "raise split.val")] = "val"
    _check_classes(index, split, SPLITS, "take another split.seed, split.fold or split.val")
    return split


def _read_fixed(index: pd.DataFrame) -> pd.Series:
    """The splits that the index names; val may be missing."""
    _check_classes(index, index["split"], ("train", "test"), "change the column split of your table")
    return index["split"].copy()


def _draw_test(index: pd.DataFrame, params: Split) -> pd.Series:
    """One fold or the named patients as test, all else as train."""
    split = pd.Series("train", index=index.index, name="split")
    if params.test_patients is not None:
        if unknown := sorted(set(params.test_patients) - set(index.patient)):
            raise ValueError(f"no cells of {', '.join(unknown)}: name others in split.test_patients")
        return split.mask(index.patient.isin(params.test_patients), "test")
    split[_pick_fold(index, params, params.folds, params.fold, "lower split.folds")] = "test"
    return split


def summarise_split(split: pd.DataFrame) -> pd.DataFrame:
    """A row a split: cells, patients, parasitized (cells), healthy (patients without parasitized cells)."""
    groups = split.groupby("split")
    table = groups.agg(cells=("label", "size"), patients=("patient", "nunique"), parasitized=("label", "sum"))
    healthy = split.groupby(["split", "patient"]).label.sum().eq(0).groupby("split").sum()
    return table.assign(healthy=healthy).loc[list(SPLITS)].reset_index()


def _pick_fold(cells: pd.DataFrame, params: Split, folds: int, fold: int, remedy: str) -> pd.Index:
    """The index of the cells in one fold of a stratified shuffle; `remedy` is what to do where there are too few."""
    by_patient = params.by == "patient"
    for label, word in enumerate(CLASSES):
        one_class = cells[cells.label == label]
        units, what = len(one_class), f"{word} cells"
        if by_patient:
            units, what = one_class.patient.nunique(), f"patients with {word} cells"
        if units < folds:
            raise ValueError(
                f"cannot divide {units} {what} into {folds} parts: {remedy}, or add more {what}; train, val and test "
                "need one each, at least"
            )
    splitter = (StratifiedGroupKFold if by_patient else StratifiedKFold)(folds, shuffle=True, random_state=params.seed)
    groups = cells.patient if by_patient else None
    _, rows = list(splitter.split(cells, cells.label, groups))[fold]
    return cells.index.take(rows)


def _check_classes(cells: pd.DataFrame, split: pd.Series, names: Sequence[str], remedy: str) -> None:
    """Refuse splits that lack a class: nothing could be learned, or measured, on them."""
    for name in names:
        for label, word in enumerate(CLASSES):
            if not (cells.label[split == name] == label).any():
                raise ValueError(f"no {word} cell falls to {name}: {remedy}, or add more {word} cells")
