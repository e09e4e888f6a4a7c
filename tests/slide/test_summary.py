import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from malaria.slide import summary
from malaria.slide.summary import PICTURE, Slide, place_saliency
from tests.support.slides import CELL, call_discs

CALLS = pd.DataFrame(
    {
        "probability": [0.9, 0.99, 0.55, 0.45, 0.6, 0.01, 0.98],
        "prediction": np.array(["Uninfected", "Parasitized"])[[1, 1, 1, 0, 1, 0, 1]],
        "uncertain": [False, False, True, True, True, False, False],
        "kind": ["single", "clumped", "single", "single", "single", "single", "border"],
    }
)


def make_slide(photographs: int = 1) -> Slide:
    slide = Slide(threshold=0.5, max_side=1000)
    for number in range(photographs):
        slide.add(f"/home/a patient's name/photo_{number}.jpg", call_discs(CALLS))
    return slide


def test_cells_at_the_border_do_not_count() -> None:
    (sheet,) = make_slide().sheets
    assert (sheet.cells, sheet.parasitized, sheet.uncertain, sheet.uncertain_parasitized) == (6, 4, 3, 2)
    assert sheet.border == 1


def test_of_a_path_the_file_alone_is_kept() -> None:
    slide = make_slide()
    slide.add_broken("/home/a patient's name/bad.jpg", "broken")
    assert slide.sheets[0].name == "photo_0.jpg"
    assert slide.broken == ["bad.jpg: broken"]


def test_each_counted_cell_called_parasitized_or_uncertain_is_in_one_gallery() -> None:
    slide = make_slide(photographs=2)
    assert [it.probability for it in slide.parasitized] == [0.99, 0.99, 0.9, 0.9]
    assert [it.photograph for it in slide.parasitized] == [1, 2, 1, 2]
    assert [it.cell for it in slide.parasitized] == [2, 2, 1, 1]
    assert {it.probability for it in slide.uncertain} == {0.45, 0.55, 0.6}
    assert [it.probability for it in slide.uncertain][-2:] == [0.6, 0.6]


def test_a_gallery_keeps_the_most_extreme_of_all_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "MAX_EXAMPLES", 2)
    slide = make_slide(photographs=3)
    assert [it.probability for it in slide.parasitized] == [0.99, 0.99]
    assert len(slide.uncertain) == 2
    assert slide.sheets[2].parasitized == 4


def test_an_example_shows_its_cell_in_the_middle_and_knows_its_place() -> None:
    slide = make_slide()
    for example in slide.parasitized + slide.uncertain:
        assert example.picture.size == (PICTURE, PICTURE)
        assert example.picture.getpixel((PICTURE // 2, PICTURE // 2)) == pytest.approx(CELL, abs=2)
        overlay = Image.open(io.BytesIO(slide.sheets[0].overlay))
        x, y = (round(at * side) for at, side in zip(example.at, overlay.size, strict=True))
        assert overlay.getpixel((x, y)) == pytest.approx(CELL, abs=4)


@pytest.mark.parametrize("stretched", [True, False])
def test_a_saliency_map_lies_over_the_box_of_its_cell(stretched: bool) -> None:
    example = make_slide().parasitized[0]._replace(box=(0.75, 0.5), picture=Image.new("RGB", (PICTURE, PICTURE)))
    placed = place_saliency(example, np.full((32, 32), 255, np.uint8), stretched)
    assert placed.shape == (PICTURE, PICTURE)
    rows, columns = placed.any(1).sum() / PICTURE, placed.any(0).sum() / PICTURE
    assert columns == pytest.approx(0.75, abs=0.02)
    assert rows == pytest.approx(0.5 if stretched else 0.75, abs=0.02)
    assert placed[PICTURE // 2, PICTURE // 2] == 255
