"""Render the report: `python -m stages report`.

Reads:    plots/, data/examples/, models/model.json, data/cells.zip (for the galleries), data/split.csv, data/cells.csv
          (whether the split was given), params.yaml; the file that evaluate.corrections names, if any
Writes:   report/index.html, and for the README report/confusion.png and report/mistakes.png
Params:   all, which the page shows
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from malaria.core.artifacts import write_bytes, write_text
from malaria.data.describe import describe_data, identify_data
from malaria.data.disputed_labels import count_changed, read_corrections
from malaria.data.index import describe_groups, read_index
from malaria.params import Params
from malaria.report import page
from malaria.report.charts import draw_confusion, to_png
from malaria.report.pictures import draw_mistakes

ARCHIVE = Path("data/cells.zip")
PAGE = Path("report/index.html")


def main(params: Params) -> None:
    """Run the stage."""
    card = json.loads(Path("models/model.json").read_text("utf-8"))
    split = read_index(Path("data/split.csv"))
    data = describe_data(params.download, split[split.split != "dropped"])
    tables = {path.stem: read_table(path) for path in sorted(Path("plots").glob("*.csv"))}
    metrics = page.read_metrics(tables["metrics"])
    shown = read_index(Path("data/examples/examples.csv"))
    results = page.show_results(
        card, metrics, tables, describe_groups(split), shown, np.load("data/examples/saliency.npy"), ARCHIVE
    )
    about = {
        "data": identify_data(params.download),
        "description": data,
        "label_error": params.evaluate.label_error,
        "seen": 0,
        "run": collect_run(params, split, tables["duplicates"]),
    }
    write_text(PAGE, page.render_report(results | about))
    write_bytes(Path("report/confusion.png"), to_png(draw_confusion(metrics["test"], data)))
    mistakes = {kind: shown[shown.kind == kind] for kind in ("False negatives", "False positives")}
    write_bytes(Path("report/mistakes.png"), to_png(draw_mistakes(mistakes, ARCHIVE, caption=data)))
    print(f"The report is at {PAGE.resolve().as_uri()}")


def read_table(path: Path) -> pd.DataFrame:
    """A table of plots/, where only what is empty is NaN: a patient may be called NA."""
    return pd.read_csv(path, dtype={"patient": str}, keep_default_na=False, na_values=[""])


def collect_run(params: Params, split: pd.DataFrame, duplicates: pd.DataFrame) -> dict[str, Any]:
    """What the template shows of the split and the training."""
    history = page.read_history(Path("plots/training/plots/metrics"))
    sanity = pd.read_csv("data/examples/sanity.csv")
    rivals = params.train.robust_epochs or len(history)
    shown = page.show_run(history, rivals, sanity, duplicates, split, np.load("data/examples/augmented.npy"))
    corrections = read_corrections(params.evaluate.corrections, split) or {}
    return shown | {
        "params": params,
        "fixed_split": "split" in read_index(Path("data/cells.csv")),
        "changed_labels": count_changed(split[split.split == "test"], corrections),
    }
