"""The cell in the middle of a crop is found as it is drawn, and nothing is taken for a cell that is none."""

import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from malaria.data.decode import BLACK, Pixels
from malaria.smear.mask import Mask, apply_mask, cut_out, find_cell, is_cut_out, is_pair
from malaria.sources.drawing.fields import Field, draw_field
from malaria.sources.drawing.labs import BLUE, HOME, VIVID, Lab

LABS = {"blue": replace(BLUE, radius=40), "vivid": VIVID, "home": replace(HOME, radius=40, round=False)}
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module", params=LABS)
def lab(request: pytest.FixtureRequest) -> Lab:
    return LABS[request.param]


@pytest.fixture(scope="module")
def fields(lab: Lab) -> list[Field]:
    side = int(16 * lab.radius)
    return [draw_field(lab, 5, None, 0.5, side, side, number=number) for number in range(6)]


def crops(field: Field, cells: pd.DataFrame) -> Iterator[tuple[Pixels, Mask]]:
    """Each cell with a margin around it, as a detector cuts it out, and its true outline."""
    for cell in cells.to_dict("records"):
        side = max(cell["x1"] - cell["x0"], cell["y1"] - cell["y0"])
        left, above, right, below = (int(share * side) for share in RANDOM.uniform(0.05, 0.2, 4))
        rows = slice(max(cell["y0"] - above, 0), cell["y1"] + below)
        columns = slice(max(cell["x0"] - left, 0), cell["x1"] + right)
        yield field.pixels[rows, columns], field.labels[rows, columns] == cell["cell"]


def overlap(crop: Pixels, true: Mask) -> float:
    """Intersection over union of what is found."""
    found = find_cell(crop)
    return 0 if found is None else float((found & true).sum() / (found | true).sum())


def test_the_outline_of_a_single_cell_is_the_true_one(fields: list[Field]) -> None:
    tables = [field.cells[~field.cells.cut & ~field.cells.touching] for field in fields]
    found = np.array([overlap(*it) for field, table in zip(fields, tables, strict=True) for it in crops(field, table)])
    assert len(found) >= 40
    assert np.median(found) >= 0.9
    assert (found >= 0.8).mean() >= 0.9


def test_of_touching_cells_the_one_in_the_middle_is_mostly_found(fields: list[Field]) -> None:
    tables = [field.cells[~field.cells.cut & field.cells.touching] for field in fields]
    found = np.array([overlap(*it) for field, table in zip(fields, tables, strict=True) for it in crops(field, table)])
    assert len(found) >= 20
    assert np.median(found) >= 0.7
    assert (found >= 0.5).mean() >= 0.9


def test_where_neighbours_lie_at_the_border_and_nothing_in_the_middle_no_cell_is_found(
    lab: Lab, fields: list[Field]
) -> None:
    half = int(1.3 * lab.radius)
    y, x = np.ogrid[-half:half, -half:half]
    middle = np.hypot(x, y) < 0.6 * half
    found = []
    for field in fields:
        others = field.others[field.others.kind == "white cell"]
        for row, column in RANDOM.integers(half, len(field.labels) - half, (150, 2)):
            window = np.s_[row - half : row + half, column - half : column + half]
            if field.labels[window][middle].any() or not field.labels[window].any():
                continue
            if (np.hypot(others.x - column, others.y - row) > others.radius + 1.5 * half).all():
                found.append(find_cell(field.pixels[window]) is not None)
    assert len(found) >= 20
    assert np.mean(found) < 0.05


def test_in_a_field_without_cells_none_is_found(lab: Lab) -> None:
    bare, side = replace(lab, specks=0, platelets=0, white_cells=0), int(3 * lab.radius)
    for number in range(8):
        assert find_cell(draw_field(bare, 3, 0, 0, side, side, number=number).pixels) is None


@pytest.mark.parametrize("side", [40, 90, 300])
@pytest.mark.parametrize("kind", ["black", "white", "one colour", "faint noise", "noise"])
def test_in_an_image_of_nothing_no_cell_is_found(kind: str, side: int) -> None:
    shape = (side, side + 10, 3)
    image = {
        "black": np.zeros(shape),
        "white": np.full(shape, 255),
        "one colour": np.full(shape, (200, 120, 160)),
        "faint noise": np.random.default_rng(1).normal(215, 5, shape),
        "noise": np.random.default_rng(1).integers(0, 256, (90, 100, 3)),
    }[kind].clip(0, 255)
    assert find_cell(image.astype(np.uint8)) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (60, 1), (3, 600), (2, 2)])
def test_an_image_of_any_shape_is_searched(shape: tuple[int, int]) -> None:
    find_cell(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8))


@pytest.mark.parametrize("side", [20, 33, 96, 250, 600])
def test_a_crop_of_any_size_is_segmented_alike(side: int, fields: list[Field]) -> None:
    table = fields[0].cells[~fields[0].cells.cut & ~fields[0].cells.touching]
    crop, true = next(crops(fields[0], table))
    for size in ((side, side), (side, int(1.4 * side)), (int(1.4 * side), side)):
        resized = np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BOX))
        assert overlap(resized, np.asarray(Image.fromarray(true).resize(size))) > 0.8


def test_a_cell_that_is_cut_out_already_comes_back_as_it_is(drawn: list[tuple[str, bytes]]) -> None:
    for _, data in drawn:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        before = image.tobytes()
        assert is_cut_out(image)
        assert cut_out(image) is image
        assert image.tobytes() == before


def test_a_cell_that_is_cut_out_and_saved_with_loss_is_known_as_such(drawn: list[tuple[str, bytes]]) -> None:
    for _, data in drawn[::20]:
        Image.open(io.BytesIO(data)).convert("RGB").save(file := io.BytesIO(), "JPEG", quality=75)
        assert is_cut_out(Image.open(file))


def test_what_is_cut_out_is_black_around_the_cell_which_touches_all_borders(fields: list[Field]) -> None:
    table = fields[0].cells[~fields[0].cells.cut & ~fields[0].cells.touching]
    for crop, _ in crops(fields[0], table):
        image = Image.fromarray(crop)
        assert not is_cut_out(image)
        cell, mask = cut_out(image), find_cell(crop)
        assert cell is not None
        assert mask is not None
        lit = np.asarray(cell).any(-1)
        assert all(edge.any() for edge in (lit[0], lit[-1], lit[:, 0], lit[:, -1]))
        assert lit.sum() == mask.sum()
        assert is_cut_out(cell)
        assert cut_out(cell) is cell
    assert cut_out(Image.new("RGB", (80, 90), (215, 190, 200))) is None


def test_what_is_dark_in_a_cell_is_not_taken_for_background() -> None:
    crop, mask = np.full((9, 11, 3), 200, np.uint8), np.zeros((9, 11), bool)
    mask[2:7, 3:9] = True
    crop[4, 5] = 3, 0, 9
    cell = np.asarray(apply_mask(Image.fromarray(crop), mask))
    assert cell.shape == (5, 6, 3)
    assert (cell.max(-1) >= BLACK).all()


def discs(*circles: tuple[int, int, int], color: tuple[int, int, int] = (200, 140, 150)) -> Image.Image:
    """A black crop with discs: their centres and radius, px."""
    y, x = np.ogrid[:120, :120]
    mask = np.any([np.hypot(y - row, x - column) < radius for row, column, radius in circles], axis=0)
    return Image.fromarray((mask[..., None] * np.array(color)).astype(np.uint8))


@pytest.mark.parametrize("second", [(80, 80, 30), (78, 82, 24)])
def test_two_cells_that_touch_are_told_from_one(second: tuple[int, int, int]) -> None:
    assert is_pair(discs((38, 38, 30), second))
    assert is_pair(discs((38, 38, 30), second).rotate(90))


def test_one_cell_is_no_pair_whatever_its_outline(drawn: list[tuple[str, bytes]]) -> None:
    cells = [Image.open(io.BytesIO(png)).convert("RGB") for _, png in drawn]
    assert not any(map(is_pair, cells))
    bitten = discs((60, 60, 50))
    bitten.paste((0, 0, 0), (50, 0, 70, 40))  # a notch, as of a mask that misses a part
    assert not is_pair(bitten)
    assert not is_pair(discs((60, 60, 40), (60, 108, 10)))  # with a platelet at its side
    assert not is_pair(Image.new("RGB", (30, 40)))
