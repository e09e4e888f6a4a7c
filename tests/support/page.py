"""The content of a report, as stages/report.py collects it, of predictions made here without running a stage."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from malaria.data.describe import describe_data
from malaria.data.index import Group
from malaria.data.splits import assign_splits
from malaria.evaluation.examples import choose_examples
from malaria.evaluation.predictions import evaluate_splits, tabulate_predictions
from malaria.evaluation.tables import tabulate
from malaria.evaluation.thresholds import choose_thresholds
from malaria.params import Split, load_params
from malaria.report import page
from malaria.sources.nih import make_index
from tests.support.models import config, make_card
from tests.support.scratch import ROOT

HISTORY = pd.DataFrame(
    {"epoch": [1, 2], "train/loss": [0.5, 0.4], "val/loss": [0.6, 0.5]}
    | {"train/accuracy": [0.7, 0.8], "val/accuracy": [0.6, 0.7]}
)


def make_split(names: list[str]) -> pd.DataFrame:
    """A split.csv of cells with names like NLM's."""
    index = make_index(names)
    return index.assign(
        split=assign_splits(index, Split(by="patient", folds=4, fold=0, test_patients=None, val=0.3, seed=42))
    )


def make_predictions(split: pd.DataFrame) -> pd.DataFrame:
    """A predictions.csv of a mostly correct model."""
    held_out = split[split.split != "train"]
    logits = np.random.default_rng(0).normal(4.0 * held_out.label - 2, 2)
    return tabulate_predictions(held_out, logits, np.linspace(0, 1.1, len(held_out)))[0]


def make_content(
    predictions: pd.DataFrame, split: pd.DataFrame, archive: Path, group: Group = "patient"
) -> dict[str, Any]:
    """What render_report takes, of cells that are in the archive."""
    random = np.random.default_rng(0)
    params = load_params(ROOT / "params.yaml")
    download = params.download.model_copy(update={"source": "synthetic"})
    card = make_card(config("small_resnet", size=64), tta=True, trained_on="drawn cells")
    tables = tabulate(predictions, 0.5, choose_thresholds(predictions[predictions.split == "val"]), 0.05)
    duplicates = pd.DataFrame({"split": ["train", "train"], "other_split": ["train", "test"]})
    metrics = page.read_metrics(evaluate_splits(predictions, 0.5, 0.5, 1.0, 0.05))
    sanity = pd.DataFrame({"trained": [0.9, 0.8, np.nan], "randomised": [0.5, 0.6, np.nan], "area": [0.7, 0.7, 0.8]})
    examples = choose_examples(predictions, 0.5)
    cams = random.integers(0, 256, (len(examples), 64, 64), np.uint8)
    run = page.show_run(
        HISTORY, len(HISTORY), sanity, duplicates, split, random.integers(0, 256, (8, 4, 64, 64, 3), np.uint8)
    )
    run |= {"params": params.model_copy(update={"download": download}), "fixed_split": False, "changed_labels": 0}
    return page.show_results(card.model_dump(), metrics, tables, group, examples, cams, archive) | {
        "data": "synthetic",
        "description": describe_data(download, split),
        "label_error": 0.05,
        "seen": 0,
        "run": run
        | {"params": params.model_copy(update={"download": download}), "fixed_split": False, "changed_labels": 0},
    }
