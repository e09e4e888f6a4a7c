"""The page carries everything in itself and says what the table says."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from PIL import Image

from malaria import pictures
from malaria.evaluation import judge_splits, tabulate_curves, tabulate_predictions
from malaria.params import load_params
from malaria.report import find_mistakes, render_report
from malaria.splits import assign_splits, describe_cells, summarise_split

Cells = list[tuple[str, bytes]]


@pytest.fixture
def split(drawn: Cells) -> pd.DataFrame:
    cells = describe_cells([name for name, _ in drawn])
    return cells.assign(split=assign_splits(cells, "patient", 4, 0, 0.3, 42))


@pytest.fixture
def predictions(split: pd.DataFrame) -> pd.DataFrame:
    """Mostly right."""
    logits = np.random.default_rng(0).normal(2.0 * split.label - 1, 1)
    return tabulate_predictions(split, logits)[0]


@pytest.fixture
def page(split: pd.DataFrame, predictions: pd.DataFrame, archive: Path) -> str:
    curves, figures = tabulate_curves(predictions, 0.5), judge_splits(predictions, 0.5)
    history = pd.DataFrame(
        {"epoch": [1, 2], "train/loss": [0.5, 0.4], "val/loss": [0.6, 0.5]}
        | {"train/accuracy": [0.7, 0.8], "val/accuracy": [0.6, 0.7]}
    )
    card = {
        "arch": "small_resnet",
        "size": 64,
        "threshold": 0.5,
        "temperature": 1.1,
        "precision": "fp32",
        "versions": {},
    }
    content = {
        "params": load_params(ROOT / "params.yaml"),
        "card": card,
        "figures": figures,
        "splits": summarise_split(split),
        "best_epoch": 2,
        "confusion": pictures.draw_confusion(figures["test"]),
        "curves": pictures.draw_curves(curves["roc"], curves["pr"]),
        "training": pictures.draw_training(history),
    }
    return render_report(content, find_mistakes(predictions, 0.5), archive)


def test_mistakes_are_the_wrong_cells_of_test_the_most_confident_first(predictions: pd.DataFrame) -> None:
    mistakes = find_mistakes(predictions, 0.5)
    misses, alarms = mistakes["False negatives"], mistakes["False positives"]
    assert len(misses)
    assert len(alarms)
    assert (misses.label == 1).all()
    assert (misses.probability < 0.5).all()
    assert misses.probability.is_monotonic_increasing
    assert (alarms.label == 0).all()
    assert (alarms.probability >= 0.5).all()
    assert alarms.probability.is_monotonic_decreasing
    test = predictions[predictions.split == "test"]
    assert len(misses) + len(alarms) == ((test.probability >= 0.5) != test.label).sum()


def test_the_page_fetches_nothing(page: str) -> None:
    sources = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", page)
    assert len(sources) > 3
    assert all(source.startswith("data:image/") for source in sources)
    assert "<script" not in page


def test_every_picture_on_the_page_decodes_and_says_what_it_shows(page: str) -> None:
    images = re.findall(r'<img [^>]*src="data:image/(png|svg\+xml);base64,([^"]+)" alt="([^"]+)"', page)
    assert len(images) == page.count("<img")
    for kind, data, _ in images:
        if kind == "png":
            Image.open(io.BytesIO(base64.b64decode(data))).load()
        else:
            assert b"<svg" in base64.b64decode(data)


def test_the_page_names_the_figures_and_the_mistakes(page: str, predictions: pd.DataFrame) -> None:
    test = judge_splits(predictions, 0.5)["test"]
    assert f"{test['accuracy']:.1%}".replace("%", " %") in page
    assert f"{test['roc_auc']:.4f}" in page
    worst = find_mistakes(predictions, 0.5)["False negatives"].iloc[0]
    assert Path(worst["name"]).name in page


def test_the_same_numbers_are_the_same_picture(predictions: pd.DataFrame, archive: Path) -> None:
    mistakes = find_mistakes(predictions, 0.5)
    one, two = (pictures.to_png(pictures.draw_mistakes(mistakes, archive)) for _ in range(2))
    assert one == two
    counts = {"tp": 4, "fn": 1, "fp": 2, "tn": 3}
    svg, again = (pictures.to_svg(pictures.draw_confusion(counts)) for _ in range(2))
    assert svg == again


def test_no_mistake_at_all_is_a_page_too(predictions: pd.DataFrame, archive: Path) -> None:
    right = predictions.assign(probability=predictions.label.astype(float))
    mistakes = find_mistakes(right, 0.5)
    assert [len(cells) for cells in mistakes.values()] == [0, 0]
    assert pictures.to_png(pictures.draw_mistakes(mistakes, archive)).startswith(b"\x89PNG")
