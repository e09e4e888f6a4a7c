"""Charts of a run: matplotlib figures from tables, the same bytes for the same numbers."""

import io
import textwrap
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from malaria.data.index import CLASSES

INK, INK_ON_DARK = "#1b1f24", "#e6e8ea"  # of axes and text; the other colours are legible on white and on black
BLUE, ORANGE, GRAY = "#3f7fd0", "#e0872c", "#8a929b"

mpl.rcParams |= dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
mpl.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": "medium"}
mpl.rcParams |= {"legend.frameon": False, "axes.grid": True, "grid.color": GRAY, "grid.alpha": 0.25}
mpl.rcParams["svg.hashsalt"] = "malaria"  # or each SVG would have ids of its own


def draw_confusion(counts: dict[str, Any], caption: str = "") -> Figure:
    """The confusion matrix, actual class down and predicted across: counts, and shares of the actual class."""
    matrix = np.array([[counts["tn"], counts["fp"]], [counts["fn"], counts["tp"]]])
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(3.8, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=False)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count:,}\n{shares[row, column]:.1%}", ha="center", va="center", color=color)
    axes.set_xticks([0, 1], CLASSES)
    axes.set_yticks([0, 1], CLASSES, rotation=90, va="center")
    axes.set(xlabel="predicted", ylabel="actual")
    add_caption(figure, caption)
    return figure


def draw_roc(roc: pd.DataFrame) -> Figure:
    """The receiver operating characteristic."""
    figure = Figure(figsize=(4.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(roc.false_positive_rate, roc.true_positive_rate, color=BLUE)
    _diagonal(axes)
    axes.set(title="ROC", xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    return figure


def draw_pr(pr: pd.DataFrame) -> Figure:
    """Precision by recall."""
    figure = Figure(figsize=(4.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(pr.recall, pr.precision, color=BLUE)
    axes.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(-0.05, 1.05), aspect="equal")
    return figure


def draw_reliability(before: pd.DataFrame, after: pd.DataFrame) -> Figure:
    """The reliability diagram before and after temperature scaling, and above it the number of cells a bin."""
    figure = Figure(figsize=(4.4, 4.4), layout="constrained")
    top, axes = figure.subplots(2, 1, sharex=True, height_ratios=[1, 4])
    _diagonal(axes)
    for points, color, label in ((before, ORANGE, "before"), (after, BLUE, "calibrated")):
        axes.plot(points.predicted, points.observed, color=color, marker="o", markersize=4, label=label)
    top.bar(after.predicted, after.cells, width=0.04, color=BLUE)
    top.set(yscale="log", ylabel="cells")
    axes.set(xlabel="probability of Parasitized", ylabel="observed frequency", ylim=(-0.03, 1.03))
    axes.legend()
    return figure


def draw_coverage(coverage: pd.DataFrame) -> Figure:
    """Selective prediction: metrics by coverage."""
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, color in (("accuracy", BLUE), ("sensitivity", ORANGE), ("specificity", GRAY)):
        axes.plot(coverage.coverage * 100, coverage[name] * 100, color=color, label=name)
    axes.set(xlabel="coverage, %", ylabel="%")
    axes.invert_xaxis()
    axes.legend()
    return figure


def draw_prevalence(prevalence: pd.DataFrame) -> Figure:
    """Predictive values by prevalence."""
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    axes = figure.subplots()
    share = prevalence.prevalence * 100
    for name, color, label in (("ppv", BLUE, "positive"), ("npv", GRAY, "negative")):
        axes.plot(share, prevalence[name] * 100, color=color, marker="o", markersize=4, label=label)
        low, high = (prevalence[f"{name}_{end}"].astype(float) * 100 for end in ("low", "high"))
        axes.fill_between(share, low, high, color=color, alpha=0.25, linewidth=0)
    axes.set(xscale="log", xlabel="prevalence, %", ylabel="predictive value, %", ylim=(-3, 103))
    axes.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    axes.minorticks_off()
    axes.legend()
    return figure


def draw_patients(patients: pd.DataFrame, unit: str = "patient") -> Figure:
    """The error rate of each patient, or of what `unit` names in their place, the highest first."""
    figure = Figure(figsize=(7.6, 2.8), layout="constrained")
    axes = figure.subplots()
    misses, false_positives = (patients[name] / patients.cells * 100 for name in ("false_negatives", "false_positives"))
    places = range(len(patients))
    axes.bar(places, misses, color=ORANGE, label="false negatives")
    axes.bar(places, false_positives, bottom=misses, color=BLUE, label="false positives")
    if len(patients) <= 60:
        axes.set_xticks(places, patients.patient.tolist(), rotation=90, fontsize="small")
    axes.set(ylabel="error rate, %", xlabel=unit, xlim=(-0.6, len(patients) - 0.4))
    axes.grid(visible=False, axis="x")
    axes.legend()
    return figure


def draw_training(history: pd.DataFrame, name: str) -> Figure:
    """The "loss" or "accuracy" of train and val by epoch."""
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    axes = figure.subplots()
    for split, color in (("train", ORANGE), ("val", BLUE)):
        axes.plot(history.epoch, history[f"{split}/{name}"], color=color, label=split, marker=".")
    axes.set(title=name.capitalize(), xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


def draw_sanity(sanity: pd.DataFrame) -> Figure:
    """The share of saliency inside the cell, for the trained network and for randomised ones."""
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    axes = figure.subplots()
    bins = np.linspace(0, 100, 41).tolist()
    for name, color in (("randomised", GRAY), ("trained", BLUE)):
        axes.hist(sanity[name].dropna() * 100, bins, color=color, alpha=0.75, label=name)
    axes.axvline(float(sanity.area.median() * 100), color=INK, linestyle=":", label="area of the cell")
    axes.set(xlabel="saliency inside the cell, %", ylabel="cells")
    axes.legend(loc="upper left")
    return figure


def add_caption(figure: Figure, caption: str) -> None:
    """A small line, or some, below it."""
    if caption:
        characters = int(14 * figure.get_figwidth())  # of a line
        text = caption.replace("$", r"\$")  # which may be in a path, and would begin a formula
        figure.supxlabel(textwrap.fill(text, characters), fontsize="small", color=GRAY)


def to_png(figure: Figure) -> bytes:
    """On white, 144 dpi."""
    return _save(figure, "png", {"Software": None})


def to_svg(figure: Figure) -> bytes:
    """Transparent, and without the date, which would differ each time."""
    return _save(figure, "svg", {"Date": None}, transparent=True)


def darken(svg: bytes) -> bytes:
    """The same chart for the dark theme."""
    return svg.replace(INK.encode(), INK_ON_DARK.encode())


def _diagonal(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=GRAY, linestyle=":", linewidth=1)


def _save(figure: Figure, kind: str, metadata: dict[str, None], **options: bool) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=144, metadata=metadata, **options)
    return buffer.getvalue()
