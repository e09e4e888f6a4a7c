import numpy as np
import pandas as pd
import pytest

from malaria.slide.overlay import STYLES, draw_overlay, find_outline, name_calls
from malaria.slide.photographs import CalledPhotograph
from malaria.smear.photograph import RedCell
from tests.support.slides import CELL, DIAMETER, STEP, call_discs, many

CALLS = ["parasitized", "uncertain", "uninfected", "not counted"]


@pytest.fixture(scope="module")
def photograph() -> CalledPhotograph:
    """A disc of each call."""
    return call_discs(
        pd.DataFrame(
            {
                "probability": [0.99, 0.5, 0.01, 0.99],
                "prediction": ["Parasitized", "Parasitized", "Uninfected", "Parasitized"],
                "uncertain": [False, True, False, True],
                "kind": ["single", "clumped", "clumped", "border"],
            }
        )
    )


def count_pixels(picture: np.ndarray, color: tuple[int, int, int]) -> list[int]:
    """Of that colour, in the square of each disc."""
    squares = np.split(picture[:STEP], picture.shape[1] // STEP, axis=1)
    return [int((square == color).all(-1).sum()) for square in squares]


def test_each_call_has_its_own_outline_around_the_cell(photograph: CalledPhotograph) -> None:
    assert name_calls(photograph.table) == CALLS
    picture = np.asarray(draw_overlay(photograph))
    counts = [count_pixels(picture, STYLES[call].color) for call in CALLS[:3]]
    assert (np.array(counts).argmax(1) == [0, 1, 2]).all()
    assert (np.array(counts) > 0).sum() == 3
    before = np.asarray(photograph.image)
    for cell in photograph.found.cells:
        inside = np.s_[cell.y + 8 : cell.y + DIAMETER - 8, cell.x + 8 : cell.x + DIAMETER - 8]
        assert (picture[inside] == before[inside]).all()


def test_in_gray_calls_differ_by_width_and_dashes(photograph: CalledPhotograph) -> None:
    picture, before = (np.asarray(it.convert("L"))[:STEP] for it in (draw_overlay(photograph), photograph.image))
    changed = picture != before
    parasitized, uncertain, uninfected, border = (
        int(part[:, : STEP - 14].sum())
        for part in np.split(changed, 4, axis=1)  # without numbers
    )
    assert parasitized > 2 * uninfected
    assert uninfected > 1.5 * border  # dotted
    assert parasitized > uncertain > uninfected


def test_the_picture_is_scaled_and_the_legend_is_below_it(photograph: CalledPhotograph) -> None:
    full = draw_overlay(photograph)
    assert full.width == photograph.image.width
    assert full.height > photograph.image.height
    half = draw_overlay(photograph, max_side=photograph.image.width // 2)
    assert half.width == photograph.image.width // 2
    assert half.getpixel((STEP // 4, STEP // 4)) == pytest.approx(CELL, abs=3)
    assert draw_overlay(photograph, max_side=9999).tobytes() == full.tobytes()
    legend = np.asarray(full)[STEP:]
    for call in CALLS:
        assert (legend == STYLES[call].color).all(-1).any()


def test_the_photograph_itself_stays_as_it_was(photograph: CalledPhotograph) -> None:
    before = photograph.image.tobytes()
    draw_overlay(photograph)
    assert photograph.image.tobytes() == before


def test_without_cells_there_is_a_legend_alone() -> None:
    photograph = many(0)
    picture = np.asarray(draw_overlay(photograph))
    assert (picture[:STEP] == np.asarray(photograph.image)).all()
    assert len(picture) > STEP


def test_the_outline_of_a_disc_is_a_circle() -> None:
    cell = many(2).found.cells[1]
    away = find_outline(cell) - [cell.x + DIAMETER / 2, cell.y + DIAMETER / 2]
    assert np.hypot(*away.T) == pytest.approx(DIAMETER / 2, abs=1.5)


def test_the_outline_of_a_slim_cell_stays_near_it() -> None:
    y, x = np.ogrid[-30:31, -4:5]
    cell = RedCell(100, 50, (x / 4) ** 2 + (y / 30) ** 2 <= 1, "single", 1.0)
    outline = find_outline(cell)
    assert (np.abs(outline - [104.5, 80.5]) <= [6, 31]).all()
