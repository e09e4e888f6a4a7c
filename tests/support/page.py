"""A report of any predictions, made by the code of the stages without running them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from malaria.report import page as report
from malaria.data.splits import summarise_split
from malaria.evaluation.calibration import choose_thresholds
from malaria.evaluation.examples import choose_examples
from malaria.evaluation.predictions import judge_splits, judge_warnings
from malaria.evaluation.tables import tabulate
from malaria.params import Params, load_params
from malaria.report.pictures import embed, tile
from tests.support.scratch import ROOT

CARD = {"arch": "small_resnet", "size": 64, "fit": "pad", "tta": True, "temperature": 1.1, "threshold": 0.5} | {
    "operating_point": "default",
    "precision": "fp32",
    "weights": 485777,
    "macs": 18137216,
    "versions": {"torch": "2"},
}
HISTORY = pd.DataFrame(
    {"epoch": [1, 2], "train/loss": [0.5, 0.4], "val/loss": [0.6, 0.5]}
    | {"train/accuracy": [0.7, 0.8], "val/accuracy": [0.6, 0.7]}
)


def make_content(predictions: pd.DataFrame, split: pd.DataFrame, archive: Path) -> dict[str, Any]:
    """What render_report is given, of cells that are in the archive."""
    points = choose_thresholds(predictions[predictions.split == "val"])
    tables, figures = tabulate(predictions, 0.5, points, 0.05), judge_splits(predictions, 0.5, 0.05)
    figures["test"] |= judge_warnings(predictions[predictions.split == "test"], 0.5, 0.1, 3.0)
    examples = choose_examples(predictions, 0.5)
    cams = np.random.default_rng(0).integers(0, 256, (len(examples), 64, 64), np.uint8)
    sanity = pd.DataFrame({"trained": [0.9, 0.8, np.nan], "randomised": [0.5, 0.6, np.nan], "area": [0.7, 0.7, 0.8]})
    timings = pd.DataFrame(
        [{"arch": "small_resnet", "size": 64, "hardware": "8086", "ms_alone": 9.0, "ms_of_many": 8.0}]
    )
    return {
        "params": synthetic_params(),
        "card": CARD,
        "figures": figures,
        "splits": summarise_split(split),
        "audit": {"near_duplicates": 1, "across_splits": 0, "across_labels": 0},
        "training": {"best_epoch": 2, "hardware": "8086"},
        "cost": report.find_cost(timings, "small_resnet", 64),
        "tables": {name: table.to_dict("records") for name, table in tables.items()},
        "charts": report.draw_charts(figures["test"], tables, HISTORY, sanity),
        "sanity": sanity.median().to_dict() | {"cells": len(sanity)},
        "galleries": report.make_galleries(examples, cams, archive, "pad"),
        "augmented": embed(tile(np.random.default_rng(1).integers(0, 256, (8, 4, 64, 64, 3), np.uint8))),
        "suspects": report.show_cells(tables["suspects"], archive),
    }


def synthetic_params() -> Params:
    """Those of the repository, but drawn cells."""
    params = load_params(ROOT / "params.yaml")
    return params.model_copy(update={"download": params.download.model_copy(update={"source": "synthetic"})})
