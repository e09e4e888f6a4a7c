"""Image files are judged one for one, with their pictures; what is no image is named, and the rest go on."""

from dataclasses import replace

import pytest

from malaria.app.cells import predict_named
from malaria.predict.classifier import Classifier
from malaria.predict.load import load_model
from tests.support.models import make_model

Named = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return load_model(make_model(tmp_path_factory.mktemp("judged") / "model"))


def test_a_cell_has_what_the_model_says_of_it_and_two_pictures(classifier: Classifier, drawn: Named) -> None:
    cells, broken = predict_named(classifier, drawn[:3])
    assert [cell.name for cell in cells] == [name for name, _ in drawn[:3]]
    said = classifier.predict([data for _, data in drawn[:3]])
    assert [float(cell.probability) for cell in cells] == pytest.approx(said.probability.tolist(), abs=1e-5)
    assert all(cell.picture.startswith("data:image/png;base64,") for cell in cells)
    assert len({cell.evidence for cell in cells} | {cell.picture for cell in cells}) == 6
    assert broken == []


def test_what_is_no_image_is_named_and_the_others_are_judged(classifier: Classifier, drawn: Named) -> None:
    cells, broken = predict_named(classifier, [drawn[0], ("text", b"text")])
    assert [cell.name for cell in cells] == [drawn[0][0]]
    assert broken == ["text: not a PNG, JPEG, TIFF, BMP or WebP image"]
    assert predict_named(classifier, [("text", b"text")]) == ([], broken)


def test_a_model_that_cannot_explain_shows_no_evidence(classifier: Classifier, drawn: Named) -> None:
    ((cell,), _) = predict_named(replace(classifier, explain=None), drawn[:1])
    assert cell.evidence is None
    assert cell.picture.startswith("data:image/png;base64,")
