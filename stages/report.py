"""Put what came out on one page: `python -m stages.report`.

Reads:    data/predictions.csv, data/split.csv, data/cells.zip for the galleries, data/examples.csv, data/cams.npy,
          data/augmented.npy and data/cam_sanity.csv, models/model.json, what audit, train and evaluate wrote to
          metrics/ and plots/, bench/inference.csv, and params.yaml, to show it.
Writes:   report/index.html; for the README too, plots/confusion.png and plots/mistakes.png.
Tuned by: nothing.
"""

from pathlib import Path

from malaria.outs import PREDICTION_COLUMNS, SPLIT_COLUMNS, read_array, read_json, read_table
from malaria.params import load_params
from malaria.stage import run

CELLS = Path("data/cells.zip")
PAGE = Path("report/index.html")
CARD = (
    "arch",
    "size",
    "fit",
    "threshold",
    "temperature",
    "operating_point",
    "tta",
    "weights",
    "macs",
    "precision",
    "versions",
)
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


def main() -> None:
    """The stage."""
    params = load_params()

    # These take seconds to import, and a mistake in the params should be told at once.
    from malaria import report
    from malaria.charts import draw_confusion, to_png
    from malaria.evaluation import find_mistakes
    from malaria.files import write_bytes, write_text
    from malaria.pictures import draw_mistakes, embed, tile
    from malaria.splits import summarise_split

    figures, card = read_json(Path("metrics/evaluate/metrics.json")), read_json(Path("models/model.json"), CARD)
    tables = {name: read_table(Path(f"plots/{name}.csv")) for name in TABLES}
    sanity = read_table(Path("data/cam_sanity.csv"))
    audit = read_json(Path("metrics/audit/metrics.json"), ("near_duplicates", "across_splits"))
    history = report.read_history(Path("metrics/train/plots/metrics"))
    examples, cams = read_table(Path("data/examples.csv")), read_array(Path("data/cams.npy"))
    content = {
        "params": params,
        "card": card,
        "figures": figures,
        "splits": summarise_split(read_table(Path("data/split.csv"), SPLIT_COLUMNS)),
        "audit": audit,
        "training": read_json(Path("metrics/train/metrics.json")),
        "cost": report.find_cost(read_table(Path("bench/inference.csv")), card["arch"], card["size"]),
        "tables": {name: table.to_dict("records") for name, table in tables.items()},
        "charts": report.draw_charts(figures["test"], tables, history, sanity),
        "sanity": sanity.median().to_dict() | {"cells": len(sanity)},
        "galleries": report.make_galleries(examples, cams, CELLS, card["fit"]),
        "augmented": embed(tile(read_array(Path("data/augmented.npy")))),
        "suspects": report.show_cells(read_table(Path("plots/suspects.csv")).head(report.SUSPECTS), CELLS),
    }
    mistakes = find_mistakes(read_table(Path("data/predictions.csv"), PREDICTION_COLUMNS), card["threshold"])

    write_text(PAGE, report.render_report(content))
    write_bytes(Path("plots/confusion.png"), to_png(draw_confusion(figures["test"])))
    write_bytes(Path("plots/mistakes.png"), to_png(draw_mistakes(mistakes, CELLS)))
    print(f"The report is at {PAGE.resolve().as_uri()}")


if __name__ == "__main__":
    run(main)
