import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from malaria.data.index import Group
from malaria.evaluation.examples import choose_examples
from malaria.evaluation.metrics import compute_metrics
from malaria.evaluation.predictions import evaluate_splits, find_label_errors, find_mistakes
from malaria.params import load_params
from malaria.report.page import (
    METRICS,
    find_cost,
    interval,
    make_galleries,
    number,
    percent,
    read_history,
    read_metrics,
    render_report,
    show_run,
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


def test_metrics_without_doubted_labels_stand_beside_the_others_where_there_are_any(
    content: dict[str, Any], predictions: pd.DataFrame, no_charts: None
) -> None:
    doubted = predictions.name[predictions.split == "test"].iloc[::4]
    metrics = read_metrics(evaluate_splits(predictions, 0.5, 0.5, 1.0, 0.05, {*doubted}))
    text, without = render_text(content, metrics=metrics), render_text(content)
    assert [page.count('class="headline"') for page in (text, without)] == [2, 1]
    second = text.split('class="headline"')[2].split("</dl>")[0]
    assert percent(metrics["without_doubted"]["accuracy"]) in second
    assert f"{len(doubted)} cells" in text
    for name, label in METRICS.items():
        rows = [re.findall(rf'<th scope="row">{re.escape(label)}</th>(.*)', page)[0] for page in (text, without)]
        assert [row.count("<td>") for row in rows] == [5, 3]
        assert rows[0].endswith(f"<td>{interval(metrics['without_doubted'], name)}</td></tr>")


def test_metrics_with_corrected_labels_stand_beside_the_others_with_the_numbers_of_cells_changed_and_left_out(
    content: dict[str, Any], predictions: pd.DataFrame, no_charts: None
) -> None:
    test = predictions[predictions.split == "test"]
    corrections = dict(zip(test.name[::4], 1 - test.label[::4], strict=True)) | dict.fromkeys(test.name[1::8])
    metrics = read_metrics(evaluate_splits(predictions, 0.5, 0.5, 1.0, 0.05, {*test.name[::3]}, corrections))
    changed, left_out = len(test[::4]), len(test[1::8])
    text = render_text(content, metrics=metrics, run=content["run"] | {"changed_labels": changed})
    blocks = text.split('class="headline"')
    assert len(blocks) == 4  # of all cells, without doubted labels, with corrected labels
    assert percent(metrics["corrected"]["accuracy"]) in blocks[3].split("</dl>")[0]
    assert changed != left_out
    introduction = blocks[2].split("</dl>")[1]
    assert re.findall(r"\b(\d+) (?:labels|cells)\b", introduction) == [str(changed), str(left_out)]
    for name, label in METRICS.items():
        row = re.findall(rf'<th scope="row">{re.escape(label)}</th>(.*)', text)[0]
        assert row.count("<td>") == 7
        assert row.endswith(f"<td>{interval(metrics['corrected'], name)}</td></tr>")
    assert f"<h1>{percent(metrics['test']['accuracy'])}" in text


def test_mistakes_and_suspected_label_errors_are_counted_and_shown(page: str, predictions: pd.DataFrame) -> None:
    for kind, mistakes in find_mistakes(predictions, 0.5).items():
        assert f"<h3>{kind}: {len(mistakes)}</h3>" in page
        assert Path(mistakes.name.iloc[0]).name in page
    errors = find_label_errors(predictions[predictions.split == "test"], 0.05)
    assert len(errors)
    labels = page.split('id="labels"')[1].split("<h2")[0]
    assert all(Path(name).name in labels for name in errors.name)


NIH_WORDS = ("NIH", "NLM", "falciparum", "Bangladesh", "Rajaraman", "one reader", "Fuhad")


@pytest.fixture
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("malaria.report.page.embed_figure", lambda figure: {"light": "data:,", "dark": "data:,"})


def render_text(content: dict[str, Any], **changes: Any) -> str:
    """The page without its pictures."""
    return re.sub(r'"data:[^"]*"', "", render_report(content | changes))


def test_only_data_of_the_nih_are_described_as_such(content: dict[str, Any], no_charts: None) -> None:
    texts = {
        data: render_text(content, data=data, description="cells") for data in ("nih", "synthetic", "own", "other")
    }
    for words in NIH_WORDS:
        assert [data for data, text in texts.items() if words in text] == ["nih"]
    assert [data for data, text in texts.items() if "Synthetic cells" in text] == ["synthetic"]
    assert f"content <code>{content['run']['params'].download.sha256}" in texts["other"]
    for text in texts.values():
        assert all(words in text for words in ("not a diagnostic device", "No WHO grade", "Intended use", "Ethics"))


def test_the_page_names_its_data_and_those_the_model_was_trained_on(content: dict[str, Any], no_charts: None) -> None:
    text = render_text(content, data="own", description="your cells: <x>, 240 cells of 12 patients")
    assert "your cells: &lt;x&gt;, 240 cells of 12 patients" in text.split('<h2 id="metrics">')[0]
    assert "drawn cells" in text.split('<h2 id="model-card">')[1]


@pytest.mark.parametrize(("group", "unit"), [("photo", "photograph"), ("cell", "cell")])
def test_without_patients_none_are_counted_and_intervals_are_said_to_be_too_narrow(
    group: Group, unit: str, predictions: pd.DataFrame, split: pd.DataFrame, archive: Path, no_charts: None
) -> None:
    content = make_content(predictions, split, archive, group)
    text = render_text(content, data="own", description="your cells")
    head = text.split('<h2 id="metrics">')[0]
    assert f"bootstrap over {unit}s" in head
    assert "too narrow" in head
    assert not re.search(r"\d patients|mean over patients|patient C\d", text)
    assert ('id="patients"' in text) == ("mean over" in text) == (group == "photo")
    assert {*re.findall(r'href="#([^"]+)"', text)} == {*re.findall(r'<h2 id="([^"]+)"', text), "main"}


def test_without_a_run_what_needs_a_training_is_left_out(
    content: dict[str, Any], predictions: pd.DataFrame, no_charts: None
) -> None:
    metrics = {"test": content["metrics"]["test"]}
    text = render_text(content, run=None, metrics=metrics, data="own", description="your cells")
    assert not re.search(r'id="(training|data)"|plots/|train\.|<th scope="col">(val|on val)<', text)
    assert {*re.findall(r'href="#([^"]+)"', text)} == {*re.findall(r'<h2 id="([^"]+)"', text), "main"}
    assert not any(words in text for words in NIH_WORDS)


def test_the_page_says_whether_the_model_has_seen_the_cells(content: dict[str, Any], no_charts: None) -> None:
    clean, seen, unknown = (render_text(content, seen=seen) for seen in (0, 3, None))
    assert "3 of these cells are among the model's training cells" in seen
    assert "could not be checked" in unknown
    assert "which was not trained on these cells" in clean
    assert not any("which was not trained on these cells" in text for text in (seen, unknown))


def test_dropped_cells_are_counted(
    predictions: pd.DataFrame, split: pd.DataFrame, archive: Path, no_charts: None
) -> None:
    train = split.index[split.split == "train"][:3]
    content = make_content(
        predictions, split.assign(split=split.split.mask(split.index.isin(train), "dropped")), archive
    )
    assert "Left out: 3 crops" in render_text(content)
    assert "Left out" not in render_text(make_content(predictions, split, archive))


def test_a_model_without_saliency_maps_has_galleries(
    content: dict[str, Any], predictions: pd.DataFrame, archive: Path, no_charts: None
) -> None:
    examples = choose_examples(predictions, 0.5)
    galleries = make_galleries(examples, None, archive, load_params(ROOT / "params.yaml").preprocess)
    text = render_text(content, galleries=galleries, saliency=False)
    assert "its saliency map" not in text
    assert all(Path(name).name in text for name in examples.name)


def test_undefined_metrics_are_named(predictions: pd.DataFrame, split: pd.DataFrame, archive: Path) -> None:
    one_class = predictions[(predictions.split == "val") | (predictions.label == 1)]
    page = render_report(make_content(one_class, split, archive))
    note = re.search(r'<p class="note">Undefined.*?</p>', page, re.DOTALL)
    assert note
    assert all(METRICS[name] in note[0] for name in ("specificity", "mcc", "roc_auc", "pr_auc"))
    assert re.search(r'<th scope="row">Specificity</th><td>n/a</td><td>no interval</td>', page)
    assert page.count("<p>None.</p>") == 2  # neither false positives nor true negatives


def test_of_a_temperature_from_few_patients_it_is_said_of_how_many(
    predictions: pd.DataFrame, split: pd.DataFrame, archive: Path, page: str
) -> None:
    val = split[split.split == "val"]
    classes = val.groupby("patient").label.nunique()
    others = set(val.patient) - {classes.index[classes == 2][0]}
    few = [table[~table.patient.isin(others)] for table in (predictions, split)]
    said = re.compile(r'id="calibration".*?<strong>[^<]*1 patient<', re.DOTALL)
    assert said.search(render_report(make_content(*few, archive)))
    assert not said.search(page)


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


@pytest.mark.parametrize(("rivals", "kept"), [(4, 2), (2, 4)])
def test_the_kept_epoch_is_the_best_of_those_that_could_be(rivals: int, kept: int, split: pd.DataFrame) -> None:
    losses = [0.5, 0.2, 0.4, 0.3]
    history = pd.DataFrame({"epoch": [1, 2, 3, 4], "train/loss": losses, "val/loss": losses})
    history[["train/accuracy", "val/accuracy"]] = 0.9
    sanity, none = (
        pd.DataFrame({"trained": [0.9], "randomised": [0.5], "area": [0.7]}),
        pd.DataFrame(columns=["split", "other_split"]),
    )
    run = show_run(history, rivals, sanity, none, split, np.zeros((1, 4, 8, 8, 3), np.uint8))
    assert run["best_epoch"] == kept


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
