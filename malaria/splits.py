"""Which cells train, validate and test: by patient, or at random as the notebook did."""

import pandas as pd

from malaria import names


def describe_cells(cells: list[str]) -> pd.DataFrame:
    """A table of the cells, sorted by name: name, label (0 or 1), patient, smear.

    Raises:
        ValueError: naming the first cell whose name says no class, patient or smear, and counting them.
    """
    rows, wrong = [], []
    for name in sorted(cells):
        try:
            rows.append((name, names.label(name), names.patient(name), names.smear(name)))
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError(
            f"{wrong[0]} ({len(wrong)} of {len(cells)} names are not such). "
            "Rename the files that it was made from, and run `uv run dvc repro -f download`"
        )
    return pd.DataFrame(rows, columns=["name", "label", "patient", "smear"])


def assign_splits(cells: pd.DataFrame, by: str, folds: int, fold: int, val: float, seed: int) -> pd.Series:
    """Name the split of each cell: train, val or test, balanced in the classes as far as patients allow.

    Fold `fold` of `folds` is the test set; a share of about `val` of the rest is for validation. With by "patient"
    no patient is in two splits (scikit-learn's StratifiedGroupKFold); with "cell" cells are dealt at random.

    Raises:
        ValueError: in words, when such a split cannot be: more folds than patients or cells, an empty split,
            or one without cells of both classes.
    """
    split = pd.Series("train", index=cells.index, name="split")
    test = _pick_fold(cells, by, folds, fold, seed)
    rest = cells.drop(test)
    split[test] = "test"
    split[_pick_fold(rest, by, max(2, round(1 / val)), 0, seed)] = "val"
    _check_classes(cells, split)
    return split


def summarise_split(split: pd.DataFrame) -> pd.DataFrame:
    """A row a split: cells, patients, parasitized cells, and healthy: the patients who have none of those."""
    groups = split.groupby("split")
    table = groups.agg(cells=("label", "size"), patients=("patient", "nunique"), parasitized=("label", "sum"))
    healthy = split.groupby(["split", "patient"]).label.sum().eq(0).groupby("split").sum()
    return table.assign(healthy=healthy).loc[["train", "val", "test"]].reset_index()


def _pick_fold(cells: pd.DataFrame, by: str, folds: int, fold: int, seed: int) -> pd.Index:
    """The index of the cells in one fold of a stratified shuffle."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # seconds, which only this needs

    for label, word in enumerate(names.CLASSES):
        one_class = cells[cells.label == label]
        units = one_class.patient.nunique() if by == "patient" else len(one_class)
        if units < folds:
            raise ValueError(
                f"cannot deal the {units} {by}s with {word} cells into {folds} parts: "
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
        for label, word in enumerate(names.CLASSES):
            if not (cells.label[split == name] == label).any():
                raise ValueError(f"no {word} cell falls to {name}: take another split.seed, fold or val")
