"""The report: one HTML page with all images embedded, which loads nothing from the network."""

import math
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from malaria.data.decode import Pixels
from malaria.data.describe import UNITS, count_cells
from malaria.data.index import CLASSES, Group
from malaria.data.splits import summarise_split
from malaria.evaluation.bootstrap import FEWEST, RESAMPLED, RESAMPLES
from malaria.evaluation.calibration import GOALS
from malaria.params import Preprocess
from malaria.report import charts, pictures

CURVES = ("loss", "accuracy")
MAX_LABEL_ERRORS = 60  # shown; plots/label_errors.csv has them all

METRICS = {  # in the order of the page
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
    "mcc": "MCC",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
    "macro_sensitivity": "Sensitivity, mean over patients",
    "macro_specificity": "Specificity, mean over patients",
    "healthy_false_positive_rate": "False positive rate of patients without a parasitized cell",
}
OVER_PATIENTS = ("macro_sensitivity", "macro_specificity", "healthy_false_positive_rate")
POINTS = {name: f"{metric} of at least {100 * goal:g} %" for name, (metric, goal) in GOALS.items()}
POINTS |= {"default": "default"}
NUMBERS = ("f1", "mcc", "roc_auc", "pr_auc", "brier", "ece")  # the others are shown in percent
BESIDE = {"without_doubted": "without doubted labels", "corrected": "with corrected labels"}  # of plots/metrics.csv
PREFIXES = {"test": "", **{of: f"{of}_" for of in BESIDE}}  # of the columns low and high of plots/metrics.csv
COUNTS = ("tp", "fp", "fn", "tn", "label_errors")


def render_report(content: dict[str, Any]) -> str:
    """The page: templates/report.html filled with content.

    Content is that of `show_results`, and data (as of `identify_data`), description (of the data), label_error (the
    probability below which a label is suspected), seen (the number of cells that are in the model's training set, None
    where that is unknown), and run: what is known of the training, a dict as of `show_run`, or None.
    """
    environment = Environment(
        loader=PackageLoader("malaria.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"svg": embed_figure, "percent": percent, "number": number, "undefined": list_undefined}
    environment.globals |= {"show": show, "interval": interval, "count_cells": count_cells}
    environment.globals |= {"count_predicted": count_predicted}
    environment.globals |= {"label_metrics": label_metrics, "POINTS": POINTS, "CLASSES": CLASSES, "UNITS": UNITS}
    environment.globals |= {"BESIDE": BESIDE, "FEWEST": FEWEST, "RESAMPLES": RESAMPLES, "RESAMPLED": RESAMPLED}
    return environment.get_template("report.html").render(content)


def show_results(
    card: dict[str, Any],
    metrics: dict[str, dict[str, float]],
    tables: dict[str, pd.DataFrame],
    group: Group,
    examples: pd.DataFrame,
    cams: Pixels | None,
    archive: Path,
) -> dict[str, Any]:
    """The part of the page's content that follows from predictions: `read_metrics`, tables of plots/, and examples.

    `card` is that of the model as a tree, so that the report does without torch. `cams` are the examples' saliency
    maps, None where the model has none.
    """
    how = Preprocess(**{name: card[name] for name in Preprocess.model_fields})
    return {
        "card": card,
        "metrics": metrics,
        "group": group,
        "cost": find_cost(card["arch"], card["size"]),
        "tables": {name: table.to_dict("records") for name, table in tables.items()},
        "charts": draw_charts(metrics["test"], tables, group),
        "galleries": make_galleries(examples, cams, archive, how),
        "saliency": cams is not None,
        "label_errors": show_cells(tables["label_errors"].head(MAX_LABEL_ERRORS), archive),
    }


def show_run(
    history: pd.DataFrame,
    rivals: int,
    sanity: pd.DataFrame,
    duplicates: pd.DataFrame,
    split: pd.DataFrame,
    augmented: Pixels,
) -> dict[str, Any]:
    """What the page shows of the pipeline's run, from `read_history`, sanity.csv, duplicates.csv, split.csv and so on.

    The kept weights are the best of the last `rivals` epochs.

    Besides these it shows its params, whether the split was given (fixed_split), and the number of test cells whose
    labels evaluate.corrections changes (changed_labels).
    """
    last = history.tail(rivals)
    charts_of_run = {name: charts.draw_training(history, name) for name in CURVES}
    return {
        "splits": summarise_split(split),
        "dropped": int((split.split == "dropped").sum()),
        "duplicates": duplicates,
        "across_splits": int((duplicates.split != duplicates.other_split).sum()),
        "best_epoch": last.epoch.iloc[last["val/loss"].argmin()],
        "charts": charts_of_run | {"sanity": charts.draw_sanity(sanity)},
        "sanity": sanity.median().to_dict() | {"cells": len(sanity)},
        "augmented": pictures.embed(pictures.tile(augmented)),
    }


def draw_charts(test: dict[str, Any], tables: dict[str, pd.DataFrame], group: Group) -> dict[str, Figure]:
    """The charts of the page by name, from the metrics of test and tables of plots/."""
    return {
        "confusion": charts.draw_confusion(test),
        "roc": charts.draw_roc(tables["roc"]),
        "pr": charts.draw_pr(tables["pr"]),
        "reliability": charts.draw_reliability(tables["reliability_uncalibrated"], tables["reliability"]),
        "coverage": charts.draw_coverage(tables["coverage"]),
        "prevalence": charts.draw_prevalence(tables["prevalence"]),
        "patients": charts.draw_patients(tables["patients"], UNITS[group]),
    }


def make_galleries(
    examples: pd.DataFrame, cams: Pixels | None, archive: Path, how: Preprocess
) -> dict[str, list[dict[str, Any]]]:
    """The examples by kind: each cell's file, patient, label, probability, picture and, if any, saliency map."""
    shown = show_cells(examples, archive)
    if cams is not None:
        images = pictures.read_cells(archive, examples.name.tolist())
        for cell, image, cam in zip(shown, images, cams, strict=True):
            cell["saliency"] = pictures.embed(pictures.overlay(image, cam, how))
    kinds = examples.kind.tolist()
    return {kind: [cell for cell, of in zip(shown, kinds, strict=True) if of == kind] for kind in dict.fromkeys(kinds)}


def show_cells(cells: pd.DataFrame, archive: Path) -> list[dict[str, Any]]:
    """File, patient, label, probability and picture of each cell."""
    images = pictures.read_cells(archive, cells.name.tolist())
    return [
        {
            "file": PurePosixPath(cell["name"]).name,
            "patient": cell["patient"],
            "label": CLASSES[cell["label"]],
            "probability": cell["probability"],
            "picture": pictures.embed(pictures.shrink(image)),
        }
        for cell, image in zip(cells.to_dict("records"), images, strict=True)
    ]


def read_history(folder: Path) -> pd.DataFrame:
    """What dvclive logged, a row an epoch: epoch, train/loss, train/accuracy, val/loss, val/accuracy."""
    curves = {f"{split}/{name}": folder / split / f"{name}.tsv" for split in ("train", "val") for name in CURVES}
    history = pd.DataFrame({key: pd.read_csv(path, sep="\t").iloc[:, 1] for key, path in curves.items()})
    return history.assign(epoch=history.index + 1)


def read_metrics(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """plots/metrics.csv as metrics of test, and of val and BESIDE where it has them.

    All but those of val have name_low and name_high too. Counts are integers.
    """
    rows = table.set_index("metric")
    there = [column for column in ("test", "val", *BESIDE) if column in rows and rows[column].notna().any()]
    metrics = {of: {**rows[of], **{name: int(rows[of][name]) for name in COUNTS}} for of in there}
    for of in metrics.keys() & PREFIXES.keys():
        metrics[of] |= {
            f"{name}_{end}": rows[PREFIXES[of] + end][name] for name in rows.index for end in ("low", "high")
        }
    return metrics


def count_predicted(metrics: dict[str, float]) -> int:
    """The number of cells that metrics as of `read_metrics` are of."""
    return int(sum(metrics[name] for name in ("tp", "fp", "fn", "tn")))


def label_metrics(group: Group) -> dict[str, str]:
    """METRICS with their labels; without patients or photographs those over patients equal others, and are left out."""
    return {
        name: label.replace("patient", UNITS[group])
        for name, label in METRICS.items()
        if group != "cell" or name not in OVER_PATIENTS
    }


def list_undefined(metrics: dict[str, float], group: Group) -> list[str]:
    """The labels of the metrics that are undefined."""
    return [label for name, label in label_metrics(group).items() if _is_missing(metrics[name])]


def find_cost(arch: str, size: int) -> dict[str, Any] | None:
    """The row of inference.csv, which bench/inference.py writes, of an architecture at a size, if it was measured."""
    timings = pd.read_csv(Path(__file__).with_name("inference.csv"))
    rows = timings[(timings.arch == arch) & (timings["size"] == size)]
    return None if rows.empty else {**rows.iloc[0]}


def embed_figure(figure: Figure) -> dict[str, str]:
    """A chart as data URIs, for the light and the dark theme."""
    svg = charts.to_svg(figure)
    return {
        "light": pictures.data_uri("image/svg+xml", svg),
        "dark": pictures.data_uri("image/svg+xml", charts.darken(svg)),
    }


def show(name: str, value: float | None, digits: int = 1) -> str:
    """One of METRICS as the page shows it."""
    return number(value) if name in NUMBERS else percent(value, digits)


def interval(of: dict[str, Any], name: str) -> str:
    """The interval of a metric, as 95.8 to 97.3 %."""
    low, high = of[f"{name}_low"], of[f"{name}_high"]
    if _is_missing(low) or _is_missing(high):
        return "no interval"
    return f"{show(name, low).removesuffix(' %')} to {show(name, high)}"


def percent(value: float | None, digits: int = 1) -> str:
    """As 96.4 %; n/a where it is undefined."""
    return "n/a" if _is_missing(value) else f"{100 * value:.{digits}f} %"  # type: ignore[operator]


def number(value: float | None, digits: int = 4) -> str:
    """With that many decimals; n/a where it is undefined."""
    return "n/a" if _is_missing(value) else f"{value:.{digits}f}"


def _is_missing(value: float | None) -> bool:
    return value is None or math.isnan(value)
