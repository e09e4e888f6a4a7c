from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from malaria import Classifier, load_model
from malaria.data.image_files import ImageFile
from malaria.predict.batch import predict_files
from malaria.slide.photographs import crop_to_field, reopen
from malaria.smear.photograph import cut_out
from tests.support.models import make_model
from tests.support.slides import call_photograph, draw_photograph


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return load_model(make_model(tmp_path_factory.mktemp("model"), temperature=1e-3))


def test_each_cell_has_a_row_with_its_place_and_call(classifier: Classifier) -> None:
    image = draw_photograph()
    called = call_photograph(image, classifier)
    table = called.table
    assert len(table) == len(called.found.cells) == len(called.pixels) > 30
    places = ["cell", "x", "y", "width", "height", "kind", "mask_quality"]
    assert [*table] == [*places, "probability", "prediction", "uncertain", "ood_score", "ood"]
    assert table.cell.tolist() == list(range(1, len(table) + 1))
    assert (table[["x", "y"]] >= 0).all(axis=None)
    assert ((table.x + table.width) <= image.width).all()
    assert ((table.y + table.height) <= image.height).all()
    assert set(called.counted.kind) == {"single", "clumped"}
    assert (table.kind == "border").sum() == len(table) - len(called.counted) > 0
    pd.testing.assert_frame_equal(table[[*classifier.predict([])]], classifier.predict_cells(called.pixels))


def test_the_network_sees_the_cell_alone(classifier: Classifier) -> None:
    image = draw_photograph()
    called = call_photograph(image, classifier)
    for cell, pixels in zip(called.found.cells, called.pixels, strict=True):
        mask = Image.fromarray(np.pad(cell.mask, 1)).convert("L").resize((32, 32), Image.Resampling.BILINEAR)
        assert not pixels[np.asarray(mask) == 0].any()
        assert pixels[np.asarray(mask) == 255].any(-1).all()
    alone = classifier.predict([cut_out(image, called.found.cells[0])])
    assert alone.probability[0] == pytest.approx(called.table.probability[0], abs=0.01)


def test_the_threshold_decides(classifier: Classifier) -> None:
    image = draw_photograph()
    assert set(call_photograph(image, classifier, 0.0).table.prediction) == {"Parasitized"}
    assert set(call_photograph(image, classifier, 1.0).table.prediction) == {"Uninfected"}


@pytest.mark.parametrize("color", ["white", "black"])
@pytest.mark.parametrize("size", [(300, 200), (1, 1), (2, 900)])
def test_where_there_is_no_cell_the_table_is_empty(color: str, size: tuple[int, int], classifier: Classifier) -> None:
    called = call_photograph(Image.new("RGB", size, color), classifier)
    assert called.table.empty
    assert [*called.table] == [*call_photograph(draw_photograph(), classifier).table]
    assert crop_to_field(called).image.size == size


def test_a_photograph_is_reopened_upright_with_what_was_found_in_it(classifier: Classifier, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    draw_photograph().save(path := tmp_path / "photo.jpg", exif=exif, quality=95)
    (predicted,) = predict_files([ImageFile(str(path))], classifier, None, 1, "photo")
    called = reopen(predicted)
    assert called.image.size == (360, 480)
    assert len(called.table) == len(called.found.cells) == len(called.pixels) > 20
    path.unlink()
    with pytest.raises(ValueError, match="No such file"):
        reopen(predicted)


def test_black_around_a_round_field_is_cropped_and_cells_stay_in_place(classifier: Classifier) -> None:
    framed = Image.new("RGB", (1000, 700))
    framed.paste(draw_photograph(), (200, 100))
    called = call_photograph(framed, classifier)
    cropped = crop_to_field(called)
    assert cropped.image.size == pytest.approx((480, 360), abs=12)
    assert len(called.found.cells) > 30
    for before, after in zip(called.found.cells, cropped.found.cells, strict=True):
        assert cut_out(framed, before).tobytes() == cut_out(cropped.image, after).tobytes()
    assert cropped.table.x.tolist() == [cell.x for cell in cropped.found.cells]
