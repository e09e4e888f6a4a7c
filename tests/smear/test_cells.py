"""The cells of a photograph as a table and as squares, and photographs are told from crops."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from malaria.data.index import PLACES
from malaria.smear.cells import cut_squares, encode_cell, has_many_cells, tabulate_places
from malaria.smear.crops import LARGEST, decode, is_photograph
from malaria.smear.photograph import Photograph, find_cells
from malaria.sources.drawing.labs import BLUE
from tests.support.fields import LABS, NOTHING, draw, nothing, to_image
from tests.support.param_fields import preprocess_params

IMAGE = to_image(draw(replace(BLUE, radius=20), 2))
NONE = find_cells(Image.new("RGB", (100, 100)))


@pytest.fixture(scope="module")
def found() -> Photograph:
    return find_cells(IMAGE)


def test_a_row_a_cell_says_where_and_how_it_lies(found: Photograph) -> None:
    table = tabulate_places(found)
    assert table.columns.tolist() == PLACES
    assert table.cell.tolist() == [*range(1, len(found.cells) + 1)]
    boxes = table[["x", "y", "width", "height"]].to_numpy()
    assert [(x, y, x + width, y + height) for x, y, width, height in boxes] == [cell.box for cell in found.cells]
    assert table.kind.tolist() == [cell.kind for cell in found.cells]
    assert set(table.kind) <= {"single", "clumped", "border"}
    assert table.mask_quality.between(0.5, 1).all()


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_the_network_sees_a_cell_as_if_its_crop_had_been_given(found: Photograph, fit: str) -> None:
    squares = cut_squares(IMAGE, found, preprocess_params(fit=fit))
    assert squares.shape == (len(found.cells), 32, 32, 3)
    assert squares.dtype == np.uint8
    for cell, square in zip(found.cells, squares, strict=True):
        assert (decode(encode_cell(IMAGE, cell), preprocess_params(fit=fit)) == square).all()


def test_without_cells_there_are_neither_rows_nor_squares() -> None:
    assert NONE.cells == []
    table = tabulate_places(NONE)
    assert (len(table), table.columns.tolist()) == (0, PLACES)
    assert cut_squares(IMAGE, NONE, preprocess_params()).shape == (0, 32, 32, 3)


@pytest.mark.parametrize("lab", LABS)
def test_a_field_of_cells_is_a_photograph_and_a_crop_is_none(lab: str) -> None:
    image = to_image(draw(replace(LABS[lab], radius=35), 1))
    assert has_many_cells(image)
    assert is_photograph(image)
    for cell in find_cells(image).cells:
        left, top, right, bottom = cell.box
        assert not is_photograph(image.crop((left - 9, top - 9, right + 9, bottom + 9)))
        assert not is_photograph(Image.open(io.BytesIO(encode_cell(image, cell))))


def test_a_crop_of_any_number_of_pixels_below_the_limit_is_a_crop() -> None:
    (cell, *_) = find_cells(IMAGE).cells
    crop = Image.open(io.BytesIO(encode_cell(IMAGE, cell)))
    for size in ((60, 70), (LARGEST - 1, LARGEST - 1), (LARGEST - 1, 900)):
        assert not is_photograph(crop.resize(size))


@pytest.mark.parametrize("kind", NOTHING)
def test_a_large_image_without_cells_is_not_taken_for_a_cell(kind: str) -> None:
    assert has_many_cells(Image.fromarray(nothing(kind)))
    assert not is_photograph(Image.fromarray(nothing(kind, 80, 90)))
