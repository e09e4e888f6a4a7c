"""Put what came out on one page: `python -m stages.report`.

Reads:    data/predictions.csv, data/split.csv, data/cells.zip for the galleries, data/examples.csv, data/cams.npy,
          data/augmented.npy and data/cam_sanity.csv, models/model.json, what train and evaluate wrote to metrics/ and
          plots/, bench/inference.csv, and params.yaml, to show it.
Writes:   report/index.html; for the README too, plots/confusion.png and plots/mistakes.png.
Tuned by: nothing.
"""

import json
from pathlib import Path
from typing import Any

from malaria.params import load_params
from malaria.stage import run

CELLS = Path("data/cells.zip")
PAGE = Path("report/index.html")
TABLES = [
    "coverage",
    "operating_points",
    "patients",
    "pr",
    "prevalence",
    "reliability",
    "reliability_uncalibrated",
    "roc",
]


def read_json(path: str) -> Any:
    """What is in a JSON file."""
    return json.loads(Path(path).read_text("utf-8"))


def main() -> None:
    """The stage."""
    params = load_params()

    # These take seconds to import, and a mistake in the params should be told at once.
    import numpy as np
    import pandas as pd

    from malaria import report
    from malaria.charts import draw_confusion, to_png
    from malaria.evaluation import find_mistakes
    from malaria.files import write_bytes, write_text
    from malaria.pictures import draw_mistakes, tile
    from malaria.splits import summarise_split

    figures, card = read_json("metrics/evaluate/metrics.json"), read_json("models/model.json")
    tables = {name: pd.read_csv(f"plots/{name}.csv") for name in TABLES}
    sanity = pd.read_csv("data/cam_sanity.csv")
    history = report.read_history(Path("metrics/train/plots/metrics"))
    examples, cams = pd.read_csv("data/examples.csv"), np.load("data/cams.npy")
    content = {
        "params": params,
        "card": card,
        "figures": figures,
        "splits": summarise_split(pd.read_csv("data/split.csv")),
        "training": read_json("metrics/train/metrics.json"),
        "cost": report.find_cost(pd.read_csv("bench/inference.csv"), card["arch"], card["size"]),
        "tables": {name: table.to_dict("records") for name, table in tables.items()},
        "charts": report.draw_charts(figures["test"], tables, history, sanity),
        "sanity": sanity.median().to_dict() | {"cells": len(sanity)},
        "galleries": report.make_galleries(examples, cams, CELLS, card["fit"]),
        "augmented": report.embed_image(tile(np.load("data/augmented.npy"))),
        "suspects": report.show_cells(pd.read_csv("plots/suspects.csv").head(report.SUSPECTS), CELLS),
    }
    mistakes = find_mistakes(pd.read_csv("data/predictions.csv"), card["threshold"])

    write_text(PAGE, report.render_report(content))
    write_bytes(Path("plots/confusion.png"), to_png(draw_confusion(figures["test"])))
    write_bytes(Path("plots/mistakes.png"), to_png(draw_mistakes(mistakes, CELLS)))
    print(f"The report is at {PAGE.resolve().as_uri()}")


if __name__ == "__main__":
    run(main)
