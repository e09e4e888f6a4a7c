import numpy as np
import pandas as pd

from malaria.report import charts
from tests.support.page import HISTORY


def lines(figure: charts.Figure) -> dict[str, list[list[float]]]:
    """The points of the lines of a chart, by label."""
    (axes,) = figure.axes
    return {str(line.get_label()): np.column_stack(line.get_data()).tolist() for line in axes.lines}


def test_curves_draw_the_columns_of_their_table() -> None:
    rates = {"accuracy": [0.9, 0.99], "sensitivity": [0.8, 0.98], "specificity": [0.95, 1.0]}
    coverage = charts.draw_coverage(pd.DataFrame({"coverage": [1.0, 0.5], **rates}))
    assert lines(coverage) == {name: [[100, 100 * one], [50, 100 * other]] for name, (one, other) in rates.items()}
    roc = charts.draw_roc(pd.DataFrame({"false_positive_rate": [0, 0.1, 1], "true_positive_rate": [0, 0.9, 1]}))
    assert [[0, 0], [0.1, 0.9], [1, 1]] in lines(roc).values()
    pr = charts.draw_pr(pd.DataFrame({"recall": [0, 1], "precision": [1, 0.5]}))
    assert list(lines(pr).values()) == [[[0, 1], [1, 0.5]]]
    assert lines(charts.draw_training(HISTORY, "loss")) == {"train": [[1, 0.5], [2, 0.4]], "val": [[1, 0.6], [2, 0.5]]}


def test_the_confusion_matrix_has_counts_and_shares_of_the_actual_class() -> None:
    (axes,) = charts.draw_confusion({"tp": 1, "fp": 1500, "fn": 3, "tn": 500}).axes
    texts = {(text.get_position(), text.get_text()) for text in axes.texts}
    assert texts == {((0, 0), "500\n25.0%"), ((1, 0), "1,500\n75.0%"), ((0, 1), "3\n75.0%"), ((1, 1), "1\n25.0%")}


def test_the_same_numbers_give_the_same_bytes_and_a_dark_theme_has_light_ink() -> None:
    svg = charts.to_svg(charts.draw_training(HISTORY, "loss"))
    assert svg == charts.to_svg(charts.draw_training(HISTORY, "loss"))
    dark = charts.darken(svg).decode()
    assert charts.INK in svg.decode()
    assert charts.INK not in dark
    assert charts.INK_ON_DARK in dark
    assert "fill: #ffffff" not in svg.decode()  # transparent
