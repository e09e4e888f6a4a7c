"""Photographs are written with their cells outlined, and their cells as images with labels to correct."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from malaria.core.errors import UserError
from malaria.data.image_files import ImageFile, find_images
from malaria.slide.exports import Exports
from malaria.smear.crops import decode
from malaria.smear.files import Decoded, decode_files
from malaria.sources.drawing.labs import VIVID
from malaria.sources.own import read_labels
from tests.support.fields import draw, to_image
from tests.support.param_fields import preprocess_params

CLASSES = ["Uninfected", "Parasitized"]


def predict(path: Path) -> Decoded:
    """The photograph, every other cell called parasitized."""
    (decoded,) = decode_files([ImageFile(str(path))], preprocess_params(), 1)
    odd = np.arange(len(decoded.table)) % 2
    calls = {"probability": 0.2 + 0.6 * odd, "prediction": np.array(CLASSES)[odd], "uncertain": False, "ood": ""}
    return replace(decoded, table=decoded.table.assign(**calls))


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Decoded:
    path = tmp_path_factory.mktemp("photos") / "slide 1.png"
    to_image(draw(replace(VIVID, radius=30), 2)).save(path)
    return predict(path)


def test_the_cells_that_count_are_written_with_their_calls_as_labels(predicted: Decoded, tmp_path: Path) -> None:
    Exports(None, tmp_path / "cells").add(predicted)
    counted = predicted.table[predicted.table.kind != "border"]
    assert 0 < len(counted) < len(predicted.table)
    labels = pd.read_csv(tmp_path / "cells/labels.csv")
    assert labels.label.tolist() == counted.prediction.tolist()
    assert labels.probability.tolist() == pytest.approx(counted.probability.tolist())
    assert set(labels.photo) == {"slide 1"}
    columns = ["x", "y", "width", "height"]
    assert (labels[columns].to_numpy() == counted[columns].to_numpy()).all()
    assert sorted(labels.image) == sorted(str(path.relative_to(tmp_path / "cells")) for path in tmp_path.rglob("*.png"))


def test_the_cells_that_are_written_are_read_as_the_network_saw_them(predicted: Decoded, tmp_path: Path) -> None:
    Exports(None, tmp_path).add(predicted)
    table = read_labels(tmp_path, CLASSES)
    counted = predicted.table.kind != "border"
    assert table.label.tolist() == [CLASSES.index(label) for label in predicted.table.prediction[counted]]
    assert set(table.photo) == set(table.patient) == {"slide 1"}
    for file, square in zip(table.file, predicted.cells[counted], strict=True):
        assert (decode(Path(file).read_bytes(), preprocess_params()) == square).all()


def test_photographs_of_one_name_are_told_apart(predicted: Decoded, tmp_path: Path) -> None:
    exports = Exports(tmp_path / "seen", tmp_path / "cells")
    for _ in range(3):
        exports.add(predicted)
    assert {path.name for path in (tmp_path / "seen").iterdir()} == {f"slide 1{part}.jpg" for part in ("", "-2", "-3")}
    table = pd.read_csv(tmp_path / "cells/labels.csv")
    assert table.photo.nunique() == 3
    assert table.image.is_unique


@pytest.mark.parametrize(("name", "written"), [("bad\udcff.png", "bad"), ("\udcff.png", "photograph")])
def test_a_name_that_is_not_utf_8_is_written_without_what_is_none(
    name: str, written: str, predicted: Decoded, tmp_path: Path
) -> None:
    assert predicted.file is not None
    (tmp_path / name).write_bytes(predicted.file.read())
    Exports(tmp_path / "seen", tmp_path / "cells").add(predict(tmp_path / name))
    assert [path.name for path in (tmp_path / "seen").iterdir()] == [f"{written}.jpg"]
    assert set(read_labels(tmp_path / "cells", CLASSES).photo) == {written}


def test_an_overlay_is_the_photograph_and_a_legend(predicted: Decoded, tmp_path: Path) -> None:
    Exports(tmp_path, None).add(predicted)
    overlay = Image.open(tmp_path / "slide 1.jpg")
    assert predicted.file is not None
    photograph = Image.open(predicted.file.path)
    assert overlay.width == photograph.width
    assert overlay.height > photograph.height


def test_labels_that_are_there_are_left_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image,label\n")
    with pytest.raises(UserError, match=r"labels\.csv"):
        Exports(None, tmp_path)
    assert (tmp_path / "labels.csv").read_text() == "image,label\n"


def test_a_photograph_without_cells_has_an_overlay_and_no_labels(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480), "pink").save(tmp_path / "none.png")
    exports = Exports(tmp_path / "seen", tmp_path / "cells")
    exports.add(predict(tmp_path / "none.png"))
    assert (tmp_path / "seen/none.jpg").exists()
    assert len(pd.read_csv(tmp_path / "cells/labels.csv")) == 0


def test_of_crops_nothing_is_written(tmp_path: Path, drawn: list[tuple[str, bytes]]) -> None:
    (tmp_path / "a.png").write_bytes(drawn[0][1])
    (decoded,) = decode_files(find_images([str(tmp_path)]), preprocess_params(), 1)
    Exports(tmp_path / "seen", tmp_path / "cells").add(decoded)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_photograph_is_not_replaced_by_its_overlay(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    to_image(draw(replace(VIVID, radius=30), 2)).save(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"a\.jpg"):
        Exports(tmp_path, None).add(predict(path))
    assert path.read_bytes() == before
