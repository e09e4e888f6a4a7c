import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from malaria.evaluation.metrics import compute_metrics
from malaria.evaluation.predictions import evaluate_splits, find_label_errors, find_mistakes
from malaria.params import load_params
from malaria.report.page import (
    METRICS,
    NIH_SHA256,
    find_cost,
    identify_data,
    interval,
    number,
    percent,
    read_history,
    read_metrics,
    render_report,
)
from tests.support.page import HISTORY, make_content, make_predictions, make_split
from tests.support.scratch import ROOT


@pytest.fixture(scope="module")
def split(drawn: list[tuple[str, bytes]]) -> pd.DataFrame:
    return make_split([name for name, _ in drawn])


@pytest.fixture(scope="module")
def predictions(split: pd.DataFrame) -> pd.DataFrame:
    return make_predictions(split)


@pytest.fixture(scope="module")
def content(split: pd.DataFrame, predictions: pd.DataFrame, archive: Path) -> dict[str, Any]:
    return make_content(predictions, split, archive)


@pytest.fixture(scope="module")
def page(content: dict[str, Any]) -> str:
    return render_report(content)


def test_the_page_loads_nothing(page: str) -> None:
    sources = re.findall(r"""(?:src|srcset|href|url|action)\s*[=(]\s*["']?([^"')\s>]+)""", page)
    assert len(sources) > 30
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert not re.search(r"<script|https?://", page)


def test_every_image_has_data_and_a_description(page: str) -> None:
    images = re.findall(r'<img src="data:image/(png|svg\+xml);base64,([^"]+)" alt="[^"]+"', page)
    assert len(images) == page.count("<img")
    starts = {"png": b"\x89PNG", "svg+xml": b"<?xml"}
    assert all(base64.b64decode(data).startswith(starts[kind]) for kind, data in images)


def test_each_section_has_one_link(page: str) -> None:
    links, ids = re.findall(r'href="#([^"]+)"', page), re.findall(r'id="([^"]+)"', page)
    assert {*re.findall(r'<h2 id="([^"]+)"', page), "main"} == {*links}
    assert len(ids) == len({*ids})


def test_every_metric_is_on_the_page_with_its_interval(page: str, predictions: pd.DataFrame) -> None:
    assert {*METRICS} == {*compute_metrics(predictions, 0.5).columns}
    test = read_metrics(evaluate_splits(predictions, 0.5, 0.5, 1.0, 0.05))["test"]
    assert f"<h1>{percent(test['accuracy'])}" in page
    for name, label in METRICS.items():
        row = re.search(rf'<th scope="row">{re.escape(label)}</th>.*', page)
        assert row, label
        assert interval(test, name) in row[0]


def test_mistakes_and_suspected_label_errors_are_counted_and_shown(page: str, predictions: pd.DataFrame) -> None:
    for kind, mistakes in find_mistakes(predictions, 0.5).items():
        assert f"<h3>{kind}: {len(mistakes)}</h3>" in page
        assert Path(mistakes.name.iloc[0]).name in page
    errors = find_label_errors(predictions[predictions.split == "test"], 0.05)
    assert len(errors)
    labels = page.split('id="labels"')[1].split("<h2")[0]
    assert all(Path(name).name in labels for name in errors.name)


def test_only_data_of_the_nih_are_described_as_such(content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("malaria.report.page.embed_figure", lambda figure: {"light": "data:,", "dark": "data:,"})
    pages = {data: render_report(content | {"data": data}) for data in ("nih", "synthetic", "other")}
    texts = {data: re.sub(r'"data:[^"]*"', "", page) for data, page in pages.items()}
    for words in ("NIH", "NLM", "falciparum", "Bangladesh", "Rajaraman", "one reader", "Fuhad"):
        assert [data for data, text in texts.items() if words in text] == ["nih"]
    assert [data for data, text in texts.items() if "Synthetic cells" in text] == ["synthetic"]
    assert f"content <code>{content['params'].download.sha256}" in texts["other"]
    for text in texts.values():
        assert all(words in text for words in ("not a diagnostic device", "No WHO grade", "Intended use", "Ethics"))


def test_data_are_identified_by_their_content() -> None:
    download = load_params(ROOT / "params.yaml").download
    for source, sha256, expected in (
        ("nih", NIH_SHA256, "nih"),
        ("nih", "0" * 64, "other"),  # a lab's own cells, through MALARIA_CELLS
        ("synthetic", NIH_SHA256, "synthetic"),
    ):
        assert identify_data(download.model_copy(update={"source": source, "sha256": sha256})) == expected


def test_undefined_metrics_are_named(predictions: pd.DataFrame, split: pd.DataFrame, archive: Path) -> None:
    one_class = predictions[(predictions.split == "val") | (predictions.label == 1)]
    page = render_report(make_content(one_class, split, archive))
    note = re.search(r'<p class="note">Undefined.*?</p>', page, re.DOTALL)
    assert note
    assert all(METRICS[name] in note[0] for name in ("specificity", "mcc", "roc_auc", "pr_auc"))
    assert re.search(r'<th scope="row">Specificity</th><td>n/a</td><td>no interval</td>', page)
    assert page.count("<p>None.</p>") == 2  # neither false positives nor true negatives


def test_a_test_split_of_one_patient_without_mistakes_is_rendered(
    predictions: pd.DataFrame, split: pd.DataFrame, archive: Path
) -> None:
    right = predictions.assign(probability=predictions.label.astype(float), logit=60.0 * predictions.label - 30)
    classes = right[right.split == "test"].groupby("patient").label.nunique()
    patient = classes.index[classes == 2][0]
    page = render_report(make_content(right[(right.split == "val") | (right.patient == patient)], split, archive))
    assert page.count("<p>None.</p>") == 2
    assert "no interval" in page
    assert "<dd>100.0 %<small>" in page


def test_the_history_is_read_from_what_dvclive_writes(tmp_path: Path) -> None:
    for key in HISTORY.columns.drop("epoch"):
        (tmp_path / key).parent.mkdir(exist_ok=True)
        table = HISTORY[["epoch", key]].set_axis(["step", Path(key).name], axis=1)
        table.to_csv(tmp_path / f"{key}.tsv", sep="\t", index=False)
    assert read_history(tmp_path)[HISTORY.columns].equals(HISTORY)


def test_only_measured_architectures_have_a_cost() -> None:
    cost = find_cost("small_resnet", 64)
    assert cost
    assert 0 < cost["ms_of_many"] < cost["ms_alone"]
    assert find_cost("small_resnet", 63) is None


def test_numbers_are_rounded_and_undefined_ones_are_na() -> None:
    assert [percent(0.96454), percent(0.96454, 2), percent(None), percent(np.nan)] == [
        "96.5 %",
        "96.45 %",
        "n/a",
        "n/a",
    ]
    assert [number(0.99219), number(0.5, 1), number(None)] == ["0.9922", "0.5", "n/a"]
    assert interval({"accuracy_low": 0.951, "accuracy_high": 0.97}, "accuracy") == "95.1 to 97.0 %"
    assert interval({"mcc_low": 0.9, "mcc_high": 0.95}, "mcc") == "0.9000 to 0.9500"
    assert interval({"mcc_low": None, "mcc_high": None}, "mcc") == "no interval"
