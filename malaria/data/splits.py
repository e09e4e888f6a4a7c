"""Which cells train, validate and test: by patient, or by cell as the notebook did."""

import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from malaria.data.index import CLASSES
from malaria.params import Split


def assign_splits(index: pd.DataFrame, params: Split) -> pd.Series:
    """The split of each cell of the index: train, val or test, stratified by class as far as patients allow.

    Fold `fold` of `folds` is the test set; a share of about `val` of the rest is for validation. With by "patient"
    no patient is in two splits (scikit-learn's StratifiedGroupKFold); with "cell" cells are split at random.

    Raises:
        ValueError: there are more folds than patients or cells of a class, or a split would lack a class.
    """
    split = pd.Series("train", index=index.index, name="split")
    test = _pick_fold(index, params.by, params.folds, params.fold, params.seed)
    split[test] = "test"
    split[_pick_fold(index.drop(test), params.by, max(2, round(1 / params.val)), 0, params.seed)] = "val"
    _check_classes(index, split)
    return split


def summarise_split(split: pd.DataFrame) -> pd.DataFrame:
    """A row a split: cells, patients, parasitized (cells), healthy (patients without parasitized cells)."""
    groups = split.groupby("split")
    table = groups.agg(cells=("label", "size"), patients=("patient", "nunique"), parasitized=("label", "sum"))
    healthy = split.groupby(["split", "patient"]).label.sum().eq(0).groupby("split").sum()
    return table.assign(healthy=healthy).loc[["train", "val", "test"]].reset_index()


def _pick_fold(cells: pd.DataFrame, by: str, folds: int, fold: int, seed: int) -> pd.Index:
    """The index of the cells in one fold of a stratified shuffle."""
    for label, word in enumerate(CLASSES):
        one_class = cells[cells.label == label]
        units = one_class.patient.nunique() if by == "patient" else len(one_class)
        if units < folds:
            raise ValueError(
                f"cannot divide the {units} {by}s with {word} cells into {folds} parts: "
                + ("lower split.folds or raise split.val" if units > 1 else f"there must be cells of more {by}s")
            )
    if by == "patient":
        pairs = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(cells, cells.label, cells.patient)
    else:
        pairs = StratifiedKFold(folds, shuffle=True, random_state=seed).split(cells, cells.label)
    _, rows = list(pairs)[fold]
    return cells.index.take(rows)


def _check_classes(cells: pd.DataFrame, split: pd.Series) -> None:
    """Refuse a split that lacks a class: nothing could be learned, or measured, on it."""
    for name in ("train", "val", "test"):
        for label, word in enumerate(CLASSES):
            if not (cells.label[split == name] == label).any():
                raise ValueError(f"no {word} cell falls to {name}: take another split.seed, fold or val")
