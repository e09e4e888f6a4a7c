"""The report: one HTML page that carries its pictures in itself and fetches nothing from anywhere."""

import math
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from malaria import charts, pictures
from malaria.bootstrap import RESAMPLES
from malaria.images import Pixels
from malaria.names import CLASSES
from malaria.operating_points import DEFAULT, GOALS

CURVES = ("loss", "accuracy")
SUSPECTS = 60  # shown at the most; plots/suspects.csv has them all

FIGURES = {  # in the order of the page
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
    "healthy_false_positive_rate": "False positives among patients without a parasite",
}
POINTS = {name: f"{figure} of {100 * goal:g} %" for name, (figure, goal) in GOALS.items()} | {"default": f"{DEFAULT}"}
NUMBERS = ("f1", "mcc", "roc_auc", "pr_auc", "brier", "ece")  # the others are shares, shown in percent


def render_report(content: dict[str, Any]) -> str:
    """The page: templates/report.html filled with content, its figures as pictures."""
    environment = Environment(
        loader=PackageLoader("malaria"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"svg": embed_figure, "percent": percent, "number": number, "undefined": list_undefined}
    environment.globals |= {"show": show, "interval": interval}
    environment.globals |= {"FIGURES": FIGURES, "POINTS": POINTS, "CLASSES": CLASSES, "RESAMPLES": RESAMPLES}
    return environment.get_template("report.html").render(content)


def draw_charts(
    test: dict[str, Any], tables: dict[str, pd.DataFrame], history: pd.DataFrame, sanity: pd.DataFrame
) -> dict[str, Figure]:
    """The charts of the page by name, from the figures of test, tables of plots/, read_history and cam_sanity.csv."""
    return {
        "confusion": charts.draw_confusion(test),
        "roc": charts.draw_roc(tables["roc"]),
        "pr": charts.draw_pr(tables["pr"]),
        "reliability": charts.draw_reliability(tables["reliability_uncalibrated"], tables["reliability"]),
        "coverage": charts.draw_coverage(tables["coverage"]),
        "prevalence": charts.draw_prevalence(tables["prevalence"]),
        "patients": charts.draw_patients(tables["patients"]),
        "loss": charts.draw_training(history, "loss"),
        "accuracy": charts.draw_training(history, "accuracy"),
        "sanity": charts.draw_sanity(sanity),
    }


def make_galleries(examples: pd.DataFrame, cams: Pixels, archive: Path, fit: str) -> dict[str, list[dict[str, Any]]]:
    """The examples by kind: each cell's file, patient, probability, picture, and evidence laid over it."""
    shown = show_cells(examples, archive)
    images = pictures.read_cells(archive, examples.name.tolist())
    for cell, image, cam in zip(shown, images, cams, strict=True):
        cell["evidence"] = pictures.embed(pictures.lay_over(image, cam, fit))
    kinds = examples.kind.tolist()
    return {kind: [cell for cell, of in zip(shown, kinds, strict=True) if of == kind] for kind in dict.fromkeys(kinds)}


def show_cells(cells: pd.DataFrame, archive: Path) -> list[dict[str, Any]]:
    """What the page shows of each cell."""
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


def list_undefined(figures: dict[str, float | None]) -> list[str]:
    """What the page calls the figures that are undefined."""
    return [label for name, label in FIGURES.items() if figures[name] is None]


def find_cost(timings: pd.DataFrame, arch: str, size: int) -> dict[str, Any] | None:
    """The row of bench/inference.csv about an architecture at a size, if it was measured."""
    rows = timings[(timings.arch == arch) & (timings["size"] == size)]
    return None if rows.empty else {**rows.iloc[0]}


def embed_figure(figure: Figure) -> dict[str, str]:
    """A figure as data URIs, light and dark: pictures, so that no script, font or id of them meets the page's."""
    svg = charts.to_svg(figure)
    return {
        "light": pictures.data_uri("image/svg+xml", svg),
        "dark": pictures.data_uri("image/svg+xml", charts.darken(svg)),
    }


def show(name: str, value: float | None, digits: int = 1) -> str:
    """One of FIGURES as the page shows it."""
    return number(value) if name in NUMBERS else percent(value, digits)


def interval(of: dict[str, Any], name: str) -> str:
    """The interval of a figure, as 95.8 to 97.3 %."""
    low, high = of[f"{name}_low"], of[f"{name}_high"]
    if _is_missing(low) or _is_missing(high):
        return "no interval"
    return f"{show(name, low).removesuffix(' %')} to {show(name, high)}"


def percent(value: float | None, digits: int = 1) -> str:
    """As 96.4 %; n/a where the figure is undefined."""
    return "n/a" if _is_missing(value) else f"{100 * value:.{digits}f} %"  # type: ignore[operator]


def number(value: float | None, digits: int = 4) -> str:
    """With so many digits behind the point; n/a where it is undefined."""
    return "n/a" if _is_missing(value) else f"{value:.{digits}f}"


def _is_missing(value: float | None) -> bool:
    return value is None or math.isnan(value)
