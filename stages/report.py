"""Render the report: `python -m stages report`.

Reads:    plots/, data/examples/, models/model.json, data/cells.zip (for the galleries), data/split.csv, params.yaml
Writes:   report/index.html, and for the README report/confusion.png and report/mistakes.png
Params:   all, which the page shows
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from malaria.core.artifacts import write_bytes, write_text
from malaria.data.index import read_index
from malaria.data.splits import summarise_split
from malaria.params import Params
from malaria.report import page
from malaria.report.charts import draw_confusion, to_png
from malaria.report.pictures import draw_mistakes, embed, tile

ARCHIVE = Path("data/cells.zip")
PAGE = Path("report/index.html")


def main(params: Params) -> None:
    """Run the stage."""
    card = json.loads(Path("models/model.json").read_text("utf-8"))
    tables = {path.stem: pd.read_csv(path, dtype={"patient": str}) for path in sorted(Path("plots").glob("*.csv"))}
    metrics = page.read_metrics(tables["metrics"])
    shown = pd.read_csv("data/examples/examples.csv", dtype={"patient": str})
    content = collect(params, card, tables, metrics, shown)
    write_text(PAGE, page.render_report(content))
    write_bytes(Path("report/confusion.png"), to_png(draw_confusion(metrics["test"])))
    mistakes = {kind: shown[shown.kind == kind] for kind in ("False negatives", "False positives")}
    write_bytes(Path("report/mistakes.png"), to_png(draw_mistakes(mistakes, ARCHIVE)))
    print(f"The report is at {PAGE.resolve().as_uri()}")


def collect(
    params: Params, card: dict[str, Any], tables: dict[str, pd.DataFrame], metrics: Any, shown: pd.DataFrame
) -> dict[str, Any]:
    """What the template shows."""
    history = page.read_history(Path("plots/training/plots/metrics"))
    sanity = pd.read_csv("data/examples/sanity.csv")
    duplicates = tables["duplicates"]
    return {
        "params": params,
        "data": page.identify_data(params.download),
        "card": card,
        "metrics": metrics,
        "splits": summarise_split(read_index(Path("data/split.csv"))),
        "duplicates": duplicates,
        "across_splits": (duplicates.split != duplicates.other_split).sum(),
        "best_epoch": history.epoch[history["val/loss"].argmin()],
        "cost": page.find_cost(card["arch"], card["size"]),
        "tables": {name: table.to_dict("records") for name, table in tables.items()},
        "charts": page.draw_charts(metrics["test"], tables, history, sanity),
        "sanity": sanity.median().to_dict() | {"cells": len(sanity)},
        "galleries": page.make_galleries(shown, np.load("data/examples/saliency.npy"), ARCHIVE, params.preprocess),
        "augmented": embed(tile(np.load("data/examples/augmented.npy"))),
        "label_errors": page.show_cells(tables["label_errors"].head(page.MAX_LABEL_ERRORS), ARCHIVE),
    }
