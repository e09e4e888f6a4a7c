"""A model is loaded from wherever it is, and says the same of a cell as evaluation does, in whatever it comes."""

import io
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import malaria
from malaria.core.errors import UserError
from malaria.data.decode import to_square
from malaria.evaluation.calibration import sigmoid
from malaria.evaluation.ood import STATISTICS, OODScore, find_quantiles, measure_cells
from malaria.model.inference import predict_logits
from malaria.model.weights import read_model
from malaria.predict.classifier import AnyImage, Classifier
from tests.support.models import make_model
from tests.support.scratch import ROOT

Cells = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def classifier(folder: Path) -> Classifier:
    return malaria.load_model(folder)


def squares(cells: Cells, fit: str = "stretch") -> torch.Tensor:
    return torch.from_numpy(np.stack([to_square(Image.open(io.BytesIO(png)), 32, fit) for _, png in cells]))


def test_it_says_what_evaluation_says(drawn: Cells, folder: Path, classifier: Classifier) -> None:
    network, _ = read_model(folder / "model.safetensors")
    pixels = squares(drawn)
    logits = predict_logits(network, pixels, torch.arange(240), "fp32").numpy()
    said = classifier.predict([png for _, png in drawn])
    assert said.probability.to_numpy() == pytest.approx(sigmoid(logits / 1.5), abs=2e-6)
    assert (said.decision == "Parasitized").tolist() == (said.probability >= 0.5).tolist()
    ood_score = OODScore(classifier.card.reference_quantiles).rate(measure_cells(pixels, torch.arange(240))).amax(1)
    assert said.ood_score.to_numpy() == pytest.approx(ood_score.numpy(), abs=1e-4)


def test_an_image_is_the_same_in_whatever_it_comes(drawn: Cells, classifier: Classifier, tmp_path: Path) -> None:
    png = drawn[0][1]
    (tmp_path / "cell.png").write_bytes(png)
    picture = Image.open(io.BytesIO(png))
    forms: Iterable[AnyImage] = [tmp_path / "cell.png", str(tmp_path / "cell.png"), png, picture, np.asarray(picture)]
    said = classifier.predict(forms)
    assert len(said) == 5
    assert len(said.drop_duplicates()) == 1


def test_no_images_give_no_rows_of_the_same_columns(classifier: Classifier, drawn: Cells) -> None:
    assert classifier.predict([]).columns.tolist() == classifier.predict([drawn[0][1]]).columns.tolist()
    assert len(classifier.predict([])) == 0


def test_what_is_no_image_is_named(classifier: Classifier, drawn: Cells, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"notes\.png: not a PNG"):
        classifier.predict([drawn[0][1], tmp_path / "notes.png"])
    with pytest.raises(ValueError, match="image 1: not a PNG"):
        classifier.predict([drawn[0][1], b"no picture"])
    with pytest.raises(ValueError, match=r"none\.png: .*No such file"):
        classifier.predict(["none.png"])
    with pytest.raises(ValueError, match="image 0: "):
        classifier.predict([np.zeros((3, 4, 5, 6))])  # type: ignore[list-item]


def test_thresholds_and_warnings(drawn: Cells, tmp_path: Path) -> None:
    images = [png for _, png in drawn]
    reference_quantiles = find_quantiles(measure_cells(squares(drawn), torch.arange(240)))
    model = malaria.load_model(
        make_model(tmp_path, reference_quantiles=reference_quantiles, ood_limit=1.0, temperature=1e-3, doubt_margin=0.2)
    )
    said = model.predict(images)
    middle = float(said.probability.median())
    anew = model.predict(images, threshold=middle)
    assert (anew.decision == "Parasitized").tolist() == (said.probability >= middle).tolist()
    logit = np.log(said.probability / (1 - said.probability))
    assert anew.uncertain.tolist() == (abs(logit - np.log(middle / (1 - middle))) < 0.2).tolist()
    assert 0 < anew.uncertain.sum() < 240
    assert (said.unlike != "").tolist() == (said.ood_score > 1).tolist()
    assert set(said.unlike) <= {*STATISTICS, ""}
    white = np.full((50, 50, 3), 255, np.uint8)
    assert model.predict([white]).unlike.item() in ("edges", "corners", "area", "brightness")


def test_operating_points_are_the_models_own(classifier: Classifier) -> None:
    assert classifier.find_threshold("sensitivity_98") == 0.1
    for name in ("specificity_99", "no_such"):
        with pytest.raises(UserError, match=f"{name}: no operating point of this model; it has default, sens"):
            classifier.find_threshold(name)


def test_views_are_averaged_where_the_card_says_so(drawn: Cells, tmp_path: Path) -> None:
    model = malaria.load_model(make_model(tmp_path, tta=True))
    picture = Image.open(io.BytesIO(drawn[0][1]))
    said = model.predict([picture, picture.transpose(Image.Transpose.ROTATE_90)])
    assert said.probability[0] == pytest.approx(said.probability[1], abs=1e-5)


def test_the_evidence_is_a_map_of_each_cell(drawn: Cells, classifier: Classifier) -> None:
    assert classifier.explain
    maps = classifier.explain(squares(drawn[:3]).numpy())
    assert maps.shape == (3, 32, 32)
    assert maps.dtype == np.uint8
    assert maps.any()


def test_without_a_model_it_is_said_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"(?s)models: no model\.json .*dvc pull .*dvc repro.*another folder"):
        malaria.load_model()
    make_model(tmp_path / "half").joinpath("model.safetensors").unlink()
    with pytest.raises(UserError, match=r"half: no model\.safetensors in it"):
        malaria.load_model("half")


def test_a_model_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | {"size": 64}))
    with pytest.raises(UserError, match=r"model\.json is not of the weights beside it"):
        malaria.load_model(folder)
    (folder / "model.json").write_text(
        json.dumps({key: card[key] for key in card if key != "reference_quantiles"} | {"tta": 3})
    )
    with pytest.raises(UserError, match=r"another version: wrong or missing in its card: tta, reference_quantiles"):
        malaria.load_model(folder)
    (folder / "model.json").write_text(json.dumps(card))
    for data in (b"", b"\xff" * 100):
        (folder / "model.safetensors").write_bytes(data)
        with pytest.raises(UserError, match="no whole model"):
            malaria.load_model(folder)
    save_file({"weights": torch.zeros(3)}, folder / "model.safetensors")
    with pytest.raises(UserError, match="no whole model"):
        malaria.load_model(folder)


def test_what_users_can_mend_is_an_exception_to_programs_and_an_end_to_scripts() -> None:
    assert issubclass(UserError, Exception)
    assert issubclass(UserError, SystemExit)


def test_importing_the_library_is_light() -> None:
    code = "import sys, malaria; print({'torch', 'pandas', 'numpy', 'PIL'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "set()\n"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        malaria.nothing  # noqa: B018
