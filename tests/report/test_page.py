"""The page carries everything in itself and says what the tables say."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from malaria.data.splits import assign_splits, describe_cells
from malaria.evaluation.metrics import judge
from malaria.evaluation.predictions import find_label_errors, find_mistakes, judge_splits, tabulate_predictions
from malaria.report.page import FIGURES, find_cost, interval, number, percent, render_report
from tests.support.page import make_content

Cells = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def split(drawn: Cells) -> pd.DataFrame:
    cells = describe_cells([name for name, _ in drawn])
    return cells.assign(split=assign_splits(cells, "patient", 4, 0, 0.3, 42))


@pytest.fixture(scope="module")
def predictions(split: pd.DataFrame) -> pd.DataFrame:
    """Mostly right."""
    logits = np.random.default_rng(0).normal(4.0 * split.label - 2, 2)
    held_out = split.split != "train"
    return tabulate_predictions(split[held_out], logits[held_out], logits[held_out])[0]


@pytest.fixture(scope="module")
def page(split: pd.DataFrame, predictions: pd.DataFrame, archive: Path) -> str:
    return render_report(make_content(predictions, split, archive))


def test_the_page_fetches_nothing(page: str) -> None:
    sources = re.findall(r"""(?:src|srcset|href|url|action)\s*[=(]\s*["']?([^"')\s>]+)""", page)
    assert len(sources) > 30
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "<script" not in page
    assert not re.search(r"https?://", page)


def test_every_picture_on_the_page_decodes_and_says_what_it_shows(page: str) -> None:
    images = re.findall(r'<img src="data:image/(png|svg\+xml);base64,([^"]+)" alt="([^"]+)"', page)
    assert len(images) == page.count("<img")
    for kind, data, _ in images:
        if kind == "png":
            Image.open(io.BytesIO(base64.b64decode(data))).load()
        else:
            assert b"<svg" in base64.b64decode(data)


def test_a_link_of_the_page_leads_to_a_section_and_each_section_has_one(page: str) -> None:
    links, sections = re.findall(r'href="#([^"]+)"', page), re.findall(r'<h2 id="([^"]+)"', page)
    assert set(sections) | {"main"} == set(links)
    assert len(re.findall(r'id="([^"]+)"', page)) == len(set(re.findall(r'id="([^"]+)"', page)))


def test_every_figure_has_a_name_on_the_page(predictions: pd.DataFrame) -> None:
    assert set(FIGURES) == set(judge(predictions, 0.5).columns)


def test_the_page_names_every_figure_with_its_interval(page: str, predictions: pd.DataFrame) -> None:
    test = judge_splits(predictions, 0.5, 0.05)["test"]
    assert percent(test["accuracy"]) in page
    assert number(test["roc_auc"]) in page
    for name, label in FIGURES.items():
        row = re.search(rf'<th scope="row">{re.escape(label)}</th>.*', page)
        assert row, label
        assert interval(test, name) in row[0]


def test_the_page_shows_the_mistakes_and_the_doubtful_labels(page: str, predictions: pd.DataFrame) -> None:
    for mistakes in find_mistakes(predictions, 0.5).values():
        assert Path(mistakes["name"].iloc[0]).name in page
    suspects = find_label_errors(predictions[predictions.split == "test"], 0.05)
    assert len(suspects)
    labels = page.split('id="labels"')[1].split("<h2")[0]
    assert all(Path(name).name in labels for name in suspects["name"])
    assert f"{len(suspects)} cells of test have a label" in labels


def test_the_page_says_where_drawn_cells_are_no_evidence_and_what_it_is_not_for(page: str) -> None:
    assert "say nothing about real smears" in page
    for words in ("not a diagnostic device", "Not a WHO grade", "No parasitemia", "Intended use", "Ethics"):
        assert words in page


def test_what_is_undefined_is_said_on_the_page(predictions: pd.DataFrame, split: pd.DataFrame, archive: Path) -> None:
    one_class = predictions[(predictions.split == "val") | (predictions.label == 1)]
    page = render_report(make_content(one_class, split, archive))
    assert "Undefined on this test split, and shown as n/a: Specificity, MCC, ROC AUC, PR AUC" in page
    assert re.search(r'<th scope="row">Specificity</th><td>n/a</td><td>no interval</td>', page)
    assert page.count("<p>None.</p>") == 2  # neither false positives nor true negatives


def test_no_mistake_at_all_and_a_single_patient_are_a_page_too(
    predictions: pd.DataFrame, split: pd.DataFrame, archive: Path
) -> None:
    right = predictions.assign(probability=predictions.label.astype(float), logit=60.0 * predictions.label - 30)
    both = right[right.split == "test"].groupby("patient").label.nunique()
    patient = both.index[both == 2][0]
    page = render_report(make_content(right[(right.split == "val") | (right.patient == patient)], split, archive))
    assert page.count("<p>None.</p>") == 2
    assert "Of 1 patients in test, 1 have no cell called wrongly." in page
    assert "no interval" in page
    assert "<dd>100.0 %<small>" in page


def test_an_architecture_that_was_not_timed_is_said_not_to_be(page: str, tmp_path: Path) -> None:
    timings = pd.DataFrame([{"arch": "a", "size": 64, "hardware": "h", "ms_alone": 2.0, "ms_of_many": 1.0}])
    assert find_cost(timings, "a", 64) == {"arch": "a", "size": 64, "hardware": "h", "ms_alone": 2.0, "ms_of_many": 1.0}
    assert find_cost(timings, "a", 96) is None
    assert "Times by bench/inference.py on 8086" in page


def test_shares_and_numbers_are_rounded_and_a_missing_one_is_said_to_be() -> None:
    assert (percent(0.96454), percent(0.96454, 2), percent(None), percent(np.nan)) == (
        "96.5 %",
        "96.45 %",
        "n/a",
        "n/a",
    )
    assert (number(0.99219), number(0.5, 1), number(None)) == ("0.9922", "0.5", "n/a")
    assert interval({"accuracy_low": 0.951, "accuracy_high": 0.97}, "accuracy") == "95.1 to 97.0 %"
    assert interval({"mcc_low": 0.9, "mcc_high": 0.95}, "mcc") == "0.9000 to 0.9500"
    assert interval({"mcc_low": None, "mcc_high": None}, "mcc") == "no interval"
