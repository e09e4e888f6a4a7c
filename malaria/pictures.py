"""Pictures of a run, for the report and the README: matplotlib figures, the same bytes for the same numbers."""

import io
import zipfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from malaria.images import to_square
from malaria.names import CLASSES

mpl.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": "medium"}
mpl.rcParams["svg.hashsalt"] = "malaria"  # or each SVG would have ids of its own
_BLUE, _ORANGE = "#3366aa", "#dd7722"


def draw_confusion(counts: dict[str, int]) -> Figure:
    """The confusion matrix, actual class down and predicted across: counts, and shares of the actual class."""
    matrix = np.array([[counts["tn"], counts["fp"]], [counts["fn"], counts["tp"]]])
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(3.8, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count:,}\n{shares[row, column]:.1%}", ha="center", va="center", color=color)
    axes.set_xticks([0, 1], CLASSES)
    axes.set_yticks([0, 1], CLASSES, rotation=90, va="center")
    axes.set(xlabel="predicted", ylabel="actual")
    return figure


def draw_curves(roc: pd.DataFrame, pr: pd.DataFrame) -> Figure:
    """ROC and precision-recall side by side."""
    figure = Figure(figsize=(7.6, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(roc.false_positive_rate, roc.true_positive_rate, color=_BLUE)
    left.plot([0, 1], [0, 1], color="gray", linestyle=":", linewidth=1)
    left.set(title="ROC", xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    right.plot(pr.recall, pr.precision, color=_BLUE)
    right.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(-0.05, 1.05), aspect="equal")
    return figure


def draw_training(history: pd.DataFrame) -> Figure:
    """Loss and accuracy of train and val by epoch."""
    figure = Figure(figsize=(7.6, 2.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for split, color in (("train", _ORANGE), ("val", _BLUE)):
            axes.plot(history.epoch, history[f"{split}/{name}"], color=color, label=split, marker=".")
        axes.set(title=name.capitalize(), xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
    return figure


def draw_mistakes(mistakes: dict[str, pd.DataFrame], archive: Path, across: int = 8) -> Figure:
    """A row of cells for each kind of mistake, the most confident first, with the probability of Parasitized."""
    figure = Figure(figsize=(1.2 * across, 1.55 * len(mistakes)), layout="constrained")
    for part, (kind, cells) in zip(
        figure.subfigures(len(mistakes), squeeze=False)[:, 0], mistakes.items(), strict=True
    ):
        part.suptitle(kind, fontsize="medium")
        images = read_cells(archive, cells.name.head(across).tolist())
        axes = part.subplots(1, across)
        for axis in axes:
            axis.set_axis_off()
        for axis, image, probability in zip(axes, images, cells.probability, strict=False):
            axis.imshow(to_square(image, 96, "pad"))
            axis.set_title(f"{probability:.3f}", fontsize="small")
    return figure


def read_cells(archive: Path, names: list[str]) -> list[Image.Image]:
    """Some cells as they came, RGB."""
    with zipfile.ZipFile(archive) as cells:
        return [Image.open(io.BytesIO(cells.read(name))).convert("RGB") for name in names]


def to_png(figure: Figure) -> bytes:
    """144 dots an inch."""
    return _save(figure, "png", {"Software": None})


def to_svg(figure: Figure) -> bytes:
    """Without the date, which would differ from run to run."""
    return _save(figure, "svg", {"Date": None})


def _save(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=144, metadata=metadata)
    return buffer.getvalue()
