"""A model evaluated on another laboratory's labelled crops."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from malaria.core.errors import UserError
from malaria.evaluation.metrics import compute_metrics
from malaria.predict.classifier import Classifier
from malaria.predict.evaluate import evaluate_model, find_seen, predict_labelled, render_evaluation, to_object
from malaria.predict.labelled import LabelledCells, read_labelled
from malaria.predict.load import load_with_hashes
from malaria.sources.drawing.crops import draw_crops
from malaria.sources.drawing.labs import BLUE
from tests.support.models import make_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 crops of three patients, in a folder a class and patient."""
    folder = tmp_path_factory.mktemp("evaluate") / "lab"
    for crop in draw_crops(replace(BLUE, radius=20), patients=3, cells=24, seed=1):
        path = folder / ("Parasitized" if crop.parasitized else "Uninfected") / crop.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(crop.png)
    return folder


@pytest.fixture(scope="module")
def classifier(folder: Path) -> Classifier:
    return load_with_hashes(make_model(folder.parent / "model", temperature=1e-3))[0]


@pytest.fixture(scope="module")
def cells(folder: Path, classifier: Classifier) -> LabelledCells:
    how = classifier.card.preprocess
    return read_labelled(folder, ["Uninfected", "Parasitized"], how, folder.parent / "cells.zip")


def test_the_metrics_are_those_of_the_classifiers_predictions(classifier: Classifier, cells: LabelledCells) -> None:
    evaluation = evaluate_model(classifier, cells, "lab", seen=0)
    table = classifier.predict_cells(cells.pixels)
    values = evaluation.metrics.set_index("metric").value
    assert values.accuracy == pytest.approx(((table.prediction == "Parasitized") == cells.index.label).mean(), abs=1e-5)
    assert values.uncertain_rate == pytest.approx(table.uncertain.mean(), abs=1e-5)
    assert values.ood_rate == pytest.approx((table.ood != "").mean(), abs=1e-5)
    probability, _ = classifier.score(cells.pixels)
    expected = compute_metrics(cells.index.assign(probability=probability), classifier.card.threshold).iloc[0]
    assert values[expected.index].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-5, nan_ok=True)


def test_the_logit_is_that_of_the_network(classifier: Classifier, cells: LabelledCells) -> None:
    predictions = predict_labelled(classifier, cells)
    inside = predictions[predictions.probability.between(1e-6, 1 - 1e-6)]
    back = 1 / (1 + np.exp(-inside.logit / classifier.card.temperature))
    assert back.to_numpy() == pytest.approx(inside.probability.to_numpy())


@pytest.mark.parametrize(("group", "narrow"), [("patient", False), ("photo", True), ("cell", True)])
def test_intervals_are_over_patients_or_else_over_what_is_known(
    group: str, narrow: bool, classifier: Classifier, cells: LabelledCells, folder: Path
) -> None:
    index = cells.index
    names = {"patient": index.patient, "photo": index.name.str.extract("(P.*)_")[0], "cell": index.name}[group]
    known = replace(cells, index=index.assign(patient=names, photo=names if group == "photo" else ""))
    evaluation = evaluate_model(classifier, known, "lab", seen=0)
    assert evaluation.group == group
    assert evaluation.groups == names.nunique()
    page = render_evaluation(evaluation, classifier, known, folder.parent / "cells.zip")
    assert ("too narrow" in page) == narrow


def test_cells_with_the_pixels_of_training_cells_are_found(cells: LabelledCells) -> None:
    hashes = np.sort(cells.hashes[[2, 5]])
    assert find_seen(cells, hashes) == cells.index.name[[2, 5]].tolist()
    assert find_seen(cells, np.array([], np.uint64)) == []
    assert find_seen(cells, None) is None


def test_undefined_values_are_none_for_json(classifier: Classifier, cells: LabelledCells) -> None:
    healthy = cells.index.label == 0
    kept = replace(cells, index=cells.index[healthy].reset_index(drop=True), pixels=cells.pixels[healthy])
    content = to_object(evaluate_model(classifier, kept, "lab", seen=None), classifier.card, "models")
    assert content["sensitivity"] is content["roc_auc"] is content["roc_auc_low"] is content["training_cells"] is None
    assert content["cells"] == content["tn"] + content["fp"] == healthy.sum()
    assert isinstance(content["tn"], int)


def test_the_report_shows_examples_with_saliency_maps_and_nothing_of_a_training(
    classifier: Classifier, cells: LabelledCells, folder: Path
) -> None:
    evaluation = evaluate_model(classifier, cells, "lab", seen=0)
    page = render_evaluation(evaluation, classifier, cells, folder.parent / "cells.zip")
    assert f"your cells: lab, {len(cells.index)} cells of 3 patients" in page
    assert page.count('alt="its saliency map"') == len(cells.index)
    assert not re.search(r'id="training"|NIH|falciparum', re.sub(r'"data:[^"]*"', "", page))
    without = render_evaluation(evaluation, replace(classifier, explain=None), cells, folder.parent / "cells.zip")
    assert 'alt="its saliency map"' not in without


def test_a_set_in_which_no_cell_was_found_is_refused(classifier: Classifier, cells: LabelledCells) -> None:
    empty = replace(cells, index=cells.index[:0], unsegmented=cells.index.name.tolist())
    with pytest.raises(UserError, match=f"{len(cells.index)} images"):
        evaluate_model(classifier, empty, "lab", seen=0)


def test_the_hashes_of_a_models_training_cells_come_with_it(tmp_path: Path) -> None:
    _, hashes = load_with_hashes(make_model(tmp_path, hashes=[7, 3]))
    assert hashes is not None
    assert hashes.tolist() == [3, 7]
