"""Adapt a model to another laboratory's cells: cross-validate, refit on all, recalibrate."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import nn

from malaria.core.artifacts import write_csv, write_json
from malaria.core.errors import UserError
from malaria.core.hashing import Hashes, hash_array
from malaria.data.decode import Pixels
from malaria.data.describe import describe_cells
from malaria.data.index import CLASSES, describe_groups, read_index
from malaria.evaluation import thresholds
from malaria.evaluation.bootstrap import resample, with_intervals
from malaria.evaluation.calibration import sigmoid
from malaria.evaluation.metrics import Array, classification_metrics, ranking_metrics
from malaria.evaluation.model_card import Adaptation, ModelCard
from malaria.evaluation.ood import OODScore, find_quantiles, measure_cells
from malaria.model.dataset import CellFile
from malaria.model.inference import TTA, predict_logits
from malaria.model.weights import CARD, WEIGHTS, ModelConfig, read_training_hashes, save_model
from malaria.predict import finetune
from malaria.predict.labelled import SWAPPED, LabelledCells, are_swapped
from malaria.predict.load import model_folder, read_folder

FEWEST, MOST = 10, 20_000  # labelled cells; for more a training of the pipeline is worth its time
FOLDS = 5
OOD_SHARE = 0.01  # of the labelled cells, those of the highest OOD scores, that count as out of distribution
SHOWN = ("balanced_accuracy", "sensitivity", "specificity", "roc_auc")

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Base:
    """The model to adapt, its card, the hashes of the cells it was trained on, and the sha256 of its weights."""

    network: nn.Module
    card: ModelCard
    hashes: Hashes
    sha256: str


@dataclass(frozen=True)
class Replay:
    """Cells (M, size, size, 3) that the base model was trained on, and their labels (M,)."""

    pixels: Pixels
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Adapted:
    """The adapted network, its card, the hashes of all cells it was trained on, and the cross-validated predictions.

    These have the columns name, patient, label, split ("test"), logit, probability, ood_score, and of the base model
    before (its probability).
    """

    network: nn.Module
    card: ModelCard
    hashes: Hashes
    predictions: pd.DataFrame


def read_base(source: str) -> Base:
    """The model of a folder or revision, on the CPU.

    Raises:
        UserError: there is no model, or it is incomplete, of another version, or exported.
    """
    if source.endswith(".onnx"):
        raise UserError(f"{source}: an exported model cannot be adapted; give the folder that it was exported from")
    with model_folder(source) as folder:
        network, card = read_folder(folder, source)
        weights = folder / WEIGHTS
        return Base(network, card, read_training_hashes(weights), hashlib.sha256(weights.read_bytes()).hexdigest())


def write_adapted(adapted: Adapted, folder: Path) -> None:
    """A model folder, and in it predictions.csv: the cross-validated predictions."""
    config = ModelConfig.model_validate(adapted.card.model_dump(include=set(ModelConfig.model_fields)))
    save_model(folder / WEIGHTS, adapted.network, config, adapted.hashes)
    write_json(folder / CARD, adapted.card.model_dump())
    write_csv(folder / "predictions.csv", adapted.predictions)


def adapt(base: Base, cells: LabelledCells, replay: Replay | None, seed: int) -> Adapted:
    """Fine-tune the base model on labelled cells, and on a replay of its own where there is one.

    Each cell is predicted by a network that was fine-tuned without its fold. On these predictions temperature,
    thresholds and the limits of the warnings are chosen, and the metrics rest on them. The network that is returned was
    fine-tuned on all cells. Predictions are means over the symmetries of the square (TTA).

    Raises:
        UserError: the cells are too few or too many, or one class has fewer than two.
    """
    check_number(cells.index)
    before = predict_before(base, cells.pixels)
    check_classes(cells.index.label, before)
    labels = cells.index.label.to_numpy()
    frozen, _ = finetune.split_layers(base.network)
    new = finetune.make_features(frozen, cells.pixels, labels, finetune.COPIES, seed)
    old = finetune.make_features(frozen, replay.pixels, replay.labels, finetune.REPLAYED, seed) if replay else None
    predictions = cells.index[["name", "patient", "label"]].assign(split="test", logit=0.0, ood_score=0.0)
    folds = list(divide(cells.index, seed))
    for train, test in folds:
        network = finetune.fine_tune(base.network, new.of_cells(train), old, seed)
        predictions.loc[test, "logit"] = predict(network, cells.pixels, test)
        predictions.loc[test, "ood_score"] = score_ood(cells.pixels, train, test)
    predictions["before"] = before
    network = finetune.fine_tune(base.network, new, old, seed)
    temperature = thresholds.fit_temperature(thresholds.smooth_labels(labels), predictions.logit.to_numpy())
    predictions.insert(5, "probability", sigmoid(predictions.logit.to_numpy() / temperature))
    facts = {
        "cells_sha256": hash_labels(cells),
        "by_cell": count_folds(cells.index, cells.index.patient) < 2,
        "unsegmented": len(cells.unsegmented),
        "replayed": len(replay.labels) if replay else 0,
        "folds": len(folds),
        "seed": seed,
    }
    card = make_card(base, cells, predictions, temperature, facts)
    return Adapted(network, card, np.union1d(base.hashes, cells.hashes), predictions)


def check_number(index: pd.DataFrame) -> None:
    """Raise UserError where the cells are too few, or too many, to adapt to."""
    if len(index) < FEWEST:
        raise UserError(f"{len(index)} labelled cells are too few to adapt to: label {FEWEST} or more, of both classes")
    if len(index) > MOST:
        raise UserError(
            f"{len(index):,} labelled cells are more than {MOST:,}: train on them, from the base model, with "
            "`dvc exp run -S download.source=own -S download.path=... -S train.init=...` (docs/YOUR-LAB.md)"
        )
    for label, name in enumerate(CLASSES):
        if (found := int((index.label == label).sum())) < 2:
            raise UserError(f"{found} of the labelled cells are {name}: label two or more of each class")


def check_classes(labels: pd.Series, before: Array) -> None:
    """Raise UserError where the labels are the opposite of what the base model predicts."""
    if are_swapped(labels, before):
        raise UserError(f"nothing was adapted: {SWAPPED}")


def divide(index: pd.DataFrame, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """The rows of train and test of each fold, of FOLDS or fewer: no patient (photo, cell) in both.

    Where a class is in one patient alone, cells are divided instead.
    """
    groups = index.patient if count_folds(index, index.patient) > 1 else index.name
    folds = StratifiedGroupKFold(count_folds(index, groups), shuffle=True, random_state=seed)
    for train, test in folds.split(index, index.label, groups):
        if index.label.iloc[train].nunique() == 2:
            yield train, test


def count_folds(index: pd.DataFrame, groups: pd.Series) -> int:
    """As many as each class has groups, at most FOLDS."""
    return min(FOLDS, int(groups.groupby(index.label).nunique().min()))


def predict(network: nn.Module, pixels: Pixels, rows: Rows) -> Array:
    """The logits of some rows of (N, size, size, 3) cells, means over their symmetries."""
    logits: Array = predict_logits(TTA(network), torch.from_numpy(pixels), torch.from_numpy(rows), "fp32").numpy()
    return logits


def predict_before(base: Base, pixels: Pixels) -> Array:
    """The base model's calibrated probabilities."""
    network = TTA(base.network) if base.card.tta else base.network
    logits = predict_logits(network, torch.from_numpy(pixels), torch.arange(len(pixels)), "fp32")
    return sigmoid(logits.numpy() / base.card.temperature)


def score_ood(pixels: Pixels, train: Rows, test: Rows) -> Array:
    """The OOD scores of the cells of test with those of train as the reference."""
    reference, measured = (measure_cells(torch.from_numpy(pixels), torch.from_numpy(rows)) for rows in (train, test))
    scores: Array = OODScore(find_quantiles(reference)).score(measured).amax(1).numpy()
    return scores


def make_card(
    base: Base, cells: LabelledCells, predictions: pd.DataFrame, temperature: float, facts: dict[str, Any]
) -> ModelCard:
    """The base model's card with what was chosen on the cross-validated predictions."""
    points = thresholds.choose_thresholds(predictions)
    point = base.card.operating_point if points[base.card.operating_point] is not None else "default"
    index = cells.index
    adaptation = Adaptation(
        base_sha256=base.sha256,
        cells=len(index),
        parasitized=int(index.label.sum()),
        group=describe_groups(index),
        groups=index.patient.nunique(),
        metrics=compare(predictions, base.card.threshold, points[point] or 0.5),
        **facts,
    )
    chosen = {
        "trained_on": f"{base.card.trained_on}; adapted to {describe_cells(index)}",
        "tta": True,
        "temperature": round(temperature, 6),
        "operating_point": point,
        "threshold": points[point],
        "operating_points": points,
        "val_logit_quantiles": thresholds.logit_quantiles(predictions),
        "reference_quantiles": find_quantiles(
            measure_cells(torch.from_numpy(cells.pixels), torch.arange(len(cells.pixels)))
        ),
        "ood_limit": thresholds.ood_limit(predictions.ood_score.to_numpy(), OOD_SHARE),
        "error_rates": thresholds.fit_error_rates(predictions),
        "adaptation": adaptation,
    }
    return base.card.model_copy(update=chosen)


def compare(predictions: pd.DataFrame, threshold_before: float, threshold_after: float) -> dict[str, float | None]:
    """The SHOWN metrics before and after and their differences, as before_NAME, before_NAME_low and so on.

    The 95 % intervals are of a bootstrap over patients (photos, cells), in which both are resampled together; None
    where one is undefined, as with a single patient.
    """

    def measure(weights: Array | None) -> pd.DataFrame:
        before = _metrics(predictions.assign(probability=predictions.before), threshold_before, weights)
        after = _metrics(predictions, threshold_after, weights)
        parts = {"before": before, "after": after, "difference": after - before}
        return pd.concat([part.add_prefix(f"{name}_") for name, part in parts.items()], axis=1)

    metrics = with_intervals(measure(None).iloc[0], resample(predictions, measure))
    return {name: None if np.isnan(value) else round(value, 5) for name, value in metrics.items()}


def _metrics(cells: pd.DataFrame, threshold: float, weights: Array | None) -> pd.DataFrame:
    table = pd.concat([classification_metrics(cells, threshold, weights), ranking_metrics(cells, weights)], axis=1)
    return table.assign(balanced_accuracy=(table.sensitivity + table.specificity) / 2)[list(SHOWN)]


def hash_labels(cells: LabelledCells) -> str:
    """The sha256 of names, labels, groups and pixels."""
    table = cells.index[["name", "label", "patient"]].assign(pixels=cells.hashes)
    return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()


def find_replay(cells: Path, split: Path, base: Base, seed: int) -> Replay | None:
    """Cells of train in data/cells.npy that the base model was trained on; None where there are none."""
    if not (cells.exists() and split.exists()):
        return None
    table, file = read_index(split), CellFile(cells)
    train = table[table.split == "train"]
    if file.shape != (len(table), base.card.size, base.card.size, 3) or train.empty:
        return None
    sample = train.sample(min(finetune.REPLAYED, len(train)), random_state=seed)
    pixels = file[torch.tensor(sample.index.to_numpy())].numpy()
    known = np.isin(np.array([hash_array(cell) for cell in pixels], np.uint64), base.hashes)
    return Replay(pixels[known], sample.label.to_numpy()[known]) if sample.label[known].nunique() == 2 else None
