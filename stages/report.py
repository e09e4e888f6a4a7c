"""Put what came out on one page: `python -m stages.report`.

Reads:    data/predictions.csv, data/split.csv, data/cells.zip for the galleries, models/model.json, what train and
          evaluate wrote to metrics/ and plots/, and params.yaml, to show it.
Writes:   report/index.html; for the README too, plots/confusion.png and plots/mistakes.png.
Tuned by: nothing.
"""

import json
from pathlib import Path
from typing import Any

from malaria.params import load_params

CELLS = Path("data/cells.zip")
PAGE = Path("report/index.html")


def read_json(path: str) -> Any:
    """What is in a JSON file."""
    return json.loads(Path(path).read_text("utf-8"))


def main() -> None:
    """The stage."""
    params = load_params()

    # These take seconds to import, and a mistake in the params should be told at once.
    import pandas as pd

    from malaria import pictures
    from malaria.files import write_bytes, write_text
    from malaria.report import find_mistakes, read_history, render_report
    from malaria.splits import summarise_split

    predictions, split = pd.read_csv("data/predictions.csv"), pd.read_csv("data/split.csv")
    figures, card = read_json("metrics/evaluate/metrics.json"), read_json("models/model.json")
    mistakes = find_mistakes(predictions, card["threshold"])
    confusion = pictures.draw_confusion(figures["test"])
    content = {
        "params": params,
        "card": card,
        "figures": figures,
        "splits": summarise_split(split),
        "best_epoch": read_json("metrics/train/metrics.json")["best_epoch"],
        "confusion": confusion,
        "curves": pictures.draw_curves(pd.read_csv("plots/roc.csv"), pd.read_csv("plots/pr.csv")),
        "training": pictures.draw_training(read_history(Path("metrics/train/plots/metrics"))),
    }
    write_text(PAGE, render_report(content, mistakes, CELLS))
    write_bytes(Path("plots/confusion.png"), pictures.to_png(confusion))
    write_bytes(Path("plots/mistakes.png"), pictures.to_png(pictures.draw_mistakes(mistakes, CELLS)))
    print(f"The report is at {PAGE.resolve().as_uri()}")


if __name__ == "__main__":
    main()
