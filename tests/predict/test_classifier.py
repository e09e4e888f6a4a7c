import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from malaria import load_model
from malaria.core.errors import UserError
from malaria.data.decode import to_square
from malaria.evaluation.calibration import sigmoid
from malaria.evaluation.ood import STATISTICS, OODScore, find_quantiles, measure_cells
from malaria.model.inference import predict_logits
from malaria.model.weights import read_model
from malaria.predict.classifier import AnyImage, Classifier
from tests.support.images import encode, join_cells
from tests.support.models import make_model

Cells = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def classifier(folder: Path) -> Classifier:
    return load_model(folder)


@pytest.fixture(scope="module")
def pixels(drawn: Cells, classifier: Classifier) -> torch.Tensor:
    fit = classifier.card.fit
    return torch.from_numpy(np.stack([to_square(Image.open(io.BytesIO(png)), 32, fit) for _, png in drawn]))


def test_predictions_are_those_of_evaluation(
    drawn: Cells, pixels: torch.Tensor, folder: Path, classifier: Classifier
) -> None:
    network, _ = read_model(folder / "model.safetensors")
    logits = predict_logits(network, pixels, torch.arange(240), "fp32").numpy()
    table = classifier.predict([png for _, png in drawn])
    assert table.probability.to_numpy() == pytest.approx(sigmoid(logits / 1.5), abs=2e-6)
    assert (table.prediction == "Parasitized").tolist() == (table.probability >= 0.5).tolist()
    scores = OODScore(classifier.card.reference_quantiles).score(measure_cells(pixels, torch.arange(240)))
    assert table.ood_score.to_numpy() == pytest.approx(scores.amax(1).numpy(), abs=1e-4)


def test_paths_bytes_pictures_and_arrays_give_the_same_prediction(
    drawn: Cells, classifier: Classifier, tmp_path: Path
) -> None:
    png = drawn[0][1]
    (tmp_path / "cell.png").write_bytes(png)
    picture = Image.open(io.BytesIO(png))
    forms: Iterable[AnyImage] = [tmp_path / "cell.png", str(tmp_path / "cell.png"), png, picture, np.asarray(picture)]
    table = classifier.predict(forms)
    assert len(table) == 5
    assert len(table.drop_duplicates()) == 1
    assert classifier.predict([]).columns.equals(table.columns)
    assert classifier.predict([]).empty


def test_an_unreadable_image_is_named(classifier: Classifier, drawn: Cells, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    for images, name in (
        ([drawn[0][1], tmp_path / "notes.png"], r"notes\.png"),
        ([drawn[0][1], b"no picture"], "image 1"),
        (["none.png"], r"none\.png"),
        ([np.zeros((3, 4, 5, 6))], "image 0"),
    ):
        with pytest.raises(ValueError, match=name):
            classifier.predict(images)  # type: ignore[arg-type]


def test_warnings_follow_the_threshold_and_the_ood_limit(drawn: Cells, pixels: torch.Tensor, tmp_path: Path) -> None:
    images = [png for _, png in drawn]
    quantiles = find_quantiles(measure_cells(pixels, torch.arange(240)))
    model = load_model(make_model(tmp_path, reference_quantiles=quantiles, ood_limit=0.9, temperature=1e-3))
    table = model.predict(images)
    middle = float(table.probability.median())
    anew = model.predict(images, threshold=middle)
    assert (anew.prediction == "Parasitized").tolist() == (table.probability >= middle).tolist()
    logit = np.log(table.probability / (1 - table.probability))
    distance = abs(logit - np.log(middle / (1 - middle)))
    assert anew.uncertain.tolist() == (distance < model.card.margin(middle)).tolist()
    assert model.card.margin(middle) != model.card.margin(0.5)
    assert 0 < anew.uncertain.sum() < 240
    assert (table.ood != "").tolist() == (table.ood_score > 0.9).tolist()
    assert {*table.ood} > {""}
    assert {*table.ood} <= {*STATISTICS, ""}
    white = np.full((1, 32, 32, 3), 255, np.uint8)
    assert model.predict_cells(white).ood.item() in ("edges", "corners", "area", "contrast")


def test_an_image_in_which_no_cell_is_found_is_refused_by_its_place(drawn: Cells, classifier: Classifier) -> None:
    with pytest.raises(ValueError, match="image 1: no single red blood cell"):
        classifier.predict([drawn[0][1], np.full((50, 50, 3), (255, 245, 235), np.uint8)])


def test_two_cells_that_touch_are_refused(drawn: Cells, classifier: Classifier) -> None:
    both = join_cells(drawn[0][1], drawn[1][1])
    for image in (both, np.asarray(both), encode(both)):
        with pytest.raises(ValueError, match="image 1"):
            classifier.predict([drawn[0][1], image])


def test_an_unknown_operating_point_is_refused_with_a_list(classifier: Classifier) -> None:
    assert classifier.find_threshold("sensitivity_98") == 0.1
    for name in ("specificity_99", "no_such"):
        with pytest.raises(UserError, match=f"{name}: .*default, sensitivity_98"):
            classifier.find_threshold(name)


def test_with_tta_a_rotated_cell_has_the_same_probability(drawn: Cells, tmp_path: Path) -> None:
    picture = Image.open(io.BytesIO(drawn[0][1]))
    images = [picture, picture.transpose(Image.Transpose.ROTATE_90)]
    for tta in (True, False):
        one, other = load_model(make_model(tmp_path, tta=tta)).predict(images).probability
        assert (one == pytest.approx(other, abs=1e-5)) == tta


def test_each_cell_has_a_saliency_map(pixels: torch.Tensor, classifier: Classifier) -> None:
    assert classifier.explain
    maps = classifier.explain(pixels[:3].numpy())
    assert maps.shape == (3, 32, 32)
    assert maps.dtype == np.uint8
    assert maps.any()
