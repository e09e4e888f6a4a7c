"""The charts draw every column that they are to show."""

import numpy as np
import pandas as pd

from malaria.report import charts
from tests.support.page import HISTORY


def drawn(figure: charts.Figure) -> dict[str, list[list[float]]]:
    """The points of the lines of a chart that has one, by what the legend calls them."""
    (axes,) = figure.axes
    return {str(line.get_label()): np.column_stack(line.get_data()).tolist() for line in axes.lines}


def test_coverage_in_percent_the_surest_last() -> None:
    rates = {"accuracy": [0.9, 0.99], "sensitivity": [0.8, 0.98], "specificity": [0.95, 1.0]}
    figure = charts.draw_coverage(pd.DataFrame({"coverage": [1.0, 0.5], **rates}))
    assert drawn(figure) == {name: [[100, 100 * one], [50, 100 * other]] for name, (one, other) in rates.items()}
    assert figure.axes[0].xaxis_inverted()


def test_roc_and_pr() -> None:
    roc = charts.draw_roc(pd.DataFrame({"false_positive_rate": [0, 0.1, 1], "true_positive_rate": [0, 0.9, 1]}))
    assert [[0, 0], [0.1, 0.9], [1, 1]] in drawn(roc).values()
    pr = charts.draw_pr(pd.DataFrame({"recall": [0, 1], "precision": [1, 0.5]}))
    assert list(drawn(pr).values()) == [[[0, 1], [1, 0.5]]]


def test_confusion_says_counts_and_shares() -> None:
    (axes,) = charts.draw_confusion({"tp": 1, "fp": 1500, "fn": 3, "tn": 500}).axes
    said = {(text.get_position(), text.get_text()) for text in axes.texts}
    assert said == {((0, 0), "500\n25.0%"), ((1, 0), "1,500\n75.0%"), ((0, 1), "3\n75.0%"), ((1, 1), "1\n25.0%")}


def test_the_same_numbers_are_the_same_bytes() -> None:
    counts = {"tp": 4, "fn": 1, "fp": 2, "tn": 3}
    assert charts.to_svg(charts.draw_confusion(counts)) == charts.to_svg(charts.draw_confusion(counts))


def test_a_chart_for_a_dark_page_has_light_ink_and_no_ground() -> None:
    figure = charts.draw_training(HISTORY, "loss")
    svg = charts.to_svg(figure)
    light, dark = svg.decode(), charts.darken(svg).decode()
    assert charts.INK in light
    assert charts.INK not in dark
    assert charts.INK_ON_DARK in dark
    assert "fill: #ffffff" not in light
