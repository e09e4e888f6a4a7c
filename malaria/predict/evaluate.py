"""A trained model evaluated on labelled cells that it has not seen: what `malaria evaluate` computes and shows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from malaria.core.errors import UserError
from malaria.core.hashing import Hashes
from malaria.data.describe import describe_own
from malaria.data.index import Group, describe_groups
from malaria.evaluation.calibration import to_logits
from malaria.evaluation.examples import choose_examples
from malaria.evaluation.model_card import ModelCard
from malaria.evaluation.predictions import evaluate_with_intervals
from malaria.evaluation.tables import tabulate
from malaria.predict.classifier import Classifier
from malaria.predict.labelled import LabelledCells
from malaria.report import page

LABEL_ERROR = 0.05  # a label to which the model gives a lower probability is a suspected label error
EXPLAINED = 16  # cells whose saliency maps are computed at a time


@dataclass(frozen=True)
class Evaluation:
    """Predictions of labelled cells, columns as of predictions.csv, and their metrics.

    `metrics` has a row a metric, as of `evaluate_with_intervals`; `seen` is the number of the cells on which the model
    was trained or validated, None where that is unknown.
    """

    description: str
    group: Group
    predictions: pd.DataFrame
    metrics: pd.DataFrame
    unsegmented: list[str]
    seen: int | None

    @property
    def groups(self) -> int:
        """The number of patients, or of what is known in their place."""
        return int(self.predictions.patient.nunique())


def find_seen(cells: LabelledCells, hashes: Hashes | None) -> list[str] | None:
    """The names of the cells whose pixels have one of the hashes of a model's training cells; None without these."""
    return None if hashes is None else cells.index.name[np.isin(cells.hashes, hashes)].tolist()


def evaluate_model(classifier: Classifier, cells: LabelledCells, path: str, seen: int | None) -> Evaluation:
    """Evaluate a model at its own threshold, on the cells that were read from `path`.

    Raises:
        UserError: there are no cells.
    """
    if cells.index.empty:
        raise UserError(f"{path}: in none of its {len(cells.unsegmented)} images a cell was found")
    predictions, card = predict_labelled(classifier, cells), classifier.card
    metrics = evaluate_with_intervals(
        predictions, card.threshold, card.margin(card.threshold), card.ood_limit, LABEL_ERROR
    )
    group = describe_groups(cells.index)
    return Evaluation(describe_own(path, cells.index), group, predictions, metrics, cells.unsegmented, seen)


def predict_labelled(classifier: Classifier, cells: LabelledCells) -> pd.DataFrame:
    """The rows of predictions.csv, all of the split `test`."""
    probability, scores = classifier.score(cells.pixels)
    return cells.index[["name", "patient", "label"]].assign(
        split="test",
        logit=to_logits(probability) * classifier.card.temperature,
        probability=probability.astype(float),
        ood_score=scores.max(1).astype(float),
    )


def to_object(evaluation: Evaluation, card: ModelCard, model: str) -> dict[str, Any]:
    """The evaluation for JSON: None where a value is undefined or unknown."""
    table = evaluation.metrics.astype(object).where(evaluation.metrics.notna(), None)
    metrics: dict[str, Any] = {}
    for name, value, low, high in table.itertuples(index=False):
        metrics[name] = int(value) if name in page.COUNTS else value
        metrics |= {f"{name}_low": low, f"{name}_high": high} if name in page.METRICS else {}
    return {
        "data": evaluation.description,
        "model": model,
        "trained_on": card.trained_on,
        "threshold": card.threshold,
        "cells": len(evaluation.predictions),
        "intervals_over": evaluation.group,
        "groups": evaluation.groups,
        "unsegmented": len(evaluation.unsegmented),
        "training_cells": evaluation.seen,
        **metrics,
    }


def render_evaluation(evaluation: Evaluation, classifier: Classifier, cells: LabelledCells, archive: Path) -> str:
    """The report page, with the images of `archive`; without what only a run of the pipeline has."""
    card, predictions = classifier.card, evaluation.predictions
    examples = choose_examples(predictions, card.threshold)
    metrics = page.read_metrics(evaluation.metrics.rename(columns={"value": "test"}))
    tables = tabulate(predictions, card.threshold, card.operating_points, LABEL_ERROR)
    cams = explain_examples(classifier, cells, examples.name.tolist())
    results = page.show_results(card.model_dump(), metrics, tables, evaluation.group, examples, cams, archive)
    about = {"description": evaluation.description, "label_error": LABEL_ERROR, "seen": evaluation.seen}
    return page.render_report(results | about | {"data": "own", "run": None})


def explain_examples(classifier: Classifier, cells: LabelledCells, names: list[str]) -> Any:
    """The saliency maps (len(names), size, size) uint8 of some cells; None where the model has none."""
    if classifier.explain is None:
        return None
    rows = pd.Series(range(len(cells.index)), index=cells.index.name)[names].to_numpy()
    starts = range(0, max(1, len(rows)), EXPLAINED)
    return np.concatenate([classifier.explain(cells.pixels[rows[at : at + EXPLAINED]]) for at in starts])
