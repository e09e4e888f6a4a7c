from dataclasses import replace

import pytest

from malaria.app.cells import predict_named
from malaria.predict.load import load_model
from tests.support.models import make_model


def test_each_image_has_a_prediction_and_two_pictures_and_others_are_named(
    drawn: list[tuple[str, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    classifier = load_model(make_model(tmp_path_factory.mktemp("model")))
    cells, broken = predict_named(classifier, [*drawn[:2], ("text", b"text"), drawn[2]])
    assert [cell.name for cell in cells] == [name for name, _ in drawn[:3]]
    expected = classifier.predict([data for _, data in drawn[:3]]).probability
    assert [float(cell.probability) for cell in cells] == pytest.approx(expected.tolist(), abs=1e-5)
    pictures = {cell.picture for cell in cells} | {cell.saliency for cell in cells}
    assert len(pictures) == 6
    assert all(str(picture).startswith("data:image/png;base64,") for picture in pictures)
    assert len(broken) == 1
    assert broken[0].startswith("text: ")
    assert predict_named(classifier, [("text", b"text")]) == ([], broken)
    ((cell,), _) = predict_named(replace(classifier, explain=None), drawn[:1])
    assert cell.saliency is None
