from pathlib import Path

import numpy as np
from PIL import Image

from malaria.evaluation.predictions import find_mistakes
from malaria.report import charts
from malaria.report.pictures import MAX_SIDE, draw_mistakes, overlay, shrink, tile
from tests.support.models import PARAMS
from tests.support.tables import predictions

HOW = PARAMS.preprocess.model_copy(update={"mask": "none"})


def test_the_overlay_colours_salient_pixels_and_the_cell_shows_through() -> None:
    saliency = np.zeros((32, 32), np.uint8)
    saliency[:16] = 255
    on_cell, on_black = (
        np.asarray(overlay(Image.new("RGB", (80, 60), color), saliency, HOW)).astype(int)
        for color in ((200, 100, 120), (0, 0, 0))
    )
    assert on_cell.shape == (MAX_SIDE, MAX_SIDE, 3)
    gray = on_cell[100, 100]
    assert np.ptp(gray) == 0
    assert np.ptp(on_cell[10, 10]) > 100
    assert np.allclose(on_cell[10, 10] - on_black[10, 10], 0.2 * gray, atol=1)  # a fifth of the cell


def test_only_large_cells_are_shrunk() -> None:
    assert shrink(Image.new("RGB", (394, 200))).size == (MAX_SIDE, 65)
    assert shrink(Image.new("RGB", (40, 60))).size == (40, 60)


def test_cells_are_tiled_column_by_column() -> None:
    cells = np.zeros((2, 3, 8, 8, 3), np.uint8)
    cells[1, 2] = 255
    tiled = np.asarray(tile(cells, side=4))
    assert tiled.shape == (12, 8, 3)
    assert (tiled[8:, 4:] == 255).all()
    assert tiled.sum() == 255 * 3 * 16


def test_pictures_of_mistakes_are_the_same_bytes_and_may_have_none(
    drawn: list[tuple[str, bytes]], archive: Path
) -> None:
    names = [name for name, _ in drawn]
    labels = [int(name.startswith("Parasitized")) for name in names]
    for wrong in (5, 0):
        logits = [(-4.0 if row < wrong else 4.0) * (2 * label - 1) for row, label in enumerate(labels)]
        mistakes = find_mistakes(predictions([], labels, logits).assign(name=names), 0.5)
        assert sum(map(len, mistakes.values())) == wrong
        assert charts.to_png(draw_mistakes(mistakes, archive)) == charts.to_png(draw_mistakes(mistakes, archive))
