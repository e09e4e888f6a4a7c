"""Small charts on the page, with 95 % intervals."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from nicegui import background_tasks, run, ui

from malaria.app.widgets import text
from malaria.evaluation.metrics import Array
from malaria.lab.sheets import Model
from malaria.labelling.proportion import measure_proportion


class Chart:
    """An image, hidden until something is drawn."""

    def __init__(self, caption: str) -> None:
        with ui.element("figure").classes("chart") as self.figure:
            self.image = ui.element("img")
            text("figcaption", caption).classes("faint")
        self.figure.set_visibility(False)
        self.data: Any = None

    def show(self, draw: Callable[[Any], str], data: Any, alt: str) -> None:
        """Draw data in a thread, so that the page answers meanwhile; nothing where they are as before."""
        if data != self.data:
            self.data = data
            background_tasks.create(self._show(draw, data, alt))

    async def _show(self, draw: Callable[[Any], str], data: Any, alt: str) -> None:
        self.image.props["src"] = await run.io_bound(draw, data)
        self.image.props["alt"] = alt
        self.image.update()
        self.figure.set_visibility(True)

    def hide(self) -> None:
        self.data = None
        self.figure.set_visibility(False)


def draw_progress(right: Sequence[bool]) -> str:
    """As a data URI: the share of random cells that were predicted correctly, by how many of them were labelled."""
    found = [measure_proportion(int(count), n + 1) for n, count in enumerate(np.cumsum(right))]
    low, value, high = np.array([[it.low, it.value, it.high] for it in found]).T
    cells = np.arange(1, len(found) + 1)

    def draw(axes: Any, color: str, _: str) -> None:
        axes.fill_between(cells, low, high, color=color, alpha=0.25, linewidth=0)
        axes.plot(cells, value, color=color)
        axes.set(xlabel="random cells labelled", ylabel="predicted correctly", ylim=(0, 1.02))

    return _to_uri(draw)


def draw_models(models: Sequence[Model]) -> str:
    """As a data URI: balanced accuracy before and after each adaptation, by the number of labels."""

    def draw(axes: Any, color: str, gray: str) -> None:
        for part, shown, shift in (("before", gray, -0.6), ("after", color, 0.6)):
            cells, value, low, high = _read(models, part).T
            limits = [value - low, high - value]
            axes.errorbar(cells + shift, value, limits, color=shown, marker="o", capsize=3, label=part)
        axes.set(xlabel="labels", ylabel="balanced accuracy", ylim=(0, 1.02))
        axes.set_xticks(sorted({model.labels for model in models}))
        axes.legend(loc="lower right")

    return _to_uri(draw)


def _read(models: Sequence[Model], part: str) -> Array:
    """(models, 4): labels, balanced accuracy, and its interval."""
    names = [f"{part}_balanced_accuracy{it}" for it in ("", "_low", "_high")]
    return np.array([[model.labels, *(model.metrics[name] for name in names)] for model in models], float)


def _to_uri(draw: Callable[[Any, str, str], None]) -> str:
    from matplotlib.figure import Figure  # takes a while to import

    from malaria.report.charts import BLUE, GRAY, to_png
    from malaria.report.pictures import data_uri

    figure = Figure(figsize=(4.2, 2.4), layout="constrained")
    draw(figure.subplots(), BLUE, GRAY)
    return data_uri("image/png", to_png(figure))
