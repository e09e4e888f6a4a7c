"""Pale centres are filled, the background between cells is not, and specks are no bodies."""

import numpy as np
import pytest

from malaria.smear.light import Mask
from malaria.smear.scale import Scale
from malaria.smear.segment import fill_pallor, find_foreground, segment
from tests.support.fields import SHAPE, disc

RADIUS = 14
AREA = np.pi * RADIUS**2
SCALE = Scale(2.0 * RADIUS, 0.2)


def densities(mask: Mask, value: float = 0.5) -> np.ndarray:
    return np.where(mask, np.float32(value), np.float32(0))


@pytest.mark.parametrize("pallor", [0.2, 0.4, 0.6])
def test_a_pale_centre_is_filled(pallor: float) -> None:
    cell = disc(45, 60, RADIUS)
    ring = cell & ~disc(45, 60, pallor * RADIUS)
    assert (fill_pallor(ring, ring, AREA) == cell).all()


def test_a_pale_centre_is_filled_where_its_rim_has_a_gap() -> None:
    cell = disc(45, 60, RADIUS)
    ring = cell & ~disc(45, 60, 0.6 * RADIUS)
    ring[45, 60:] = False
    found = find_foreground(densities(ring), SCALE, AREA)
    assert found[45, 60]
    assert (found & cell).sum() > 0.95 * cell.sum()


def test_the_background_between_touching_cells_is_left() -> None:
    around = [(45 + 2 * RADIUS * np.sin(turn), 60 + 2 * RADIUS * np.cos(turn)) for turn in np.arange(6) * np.pi / 3]
    cells = np.any([disc(*place, RADIUS + 0.7) for place in around], axis=0)
    assert not cells[45, 60]
    assert not fill_pallor(cells, cells, AREA)[45, 60]
    labels, _ = segment(densities(cells), np.ones(SHAPE, bool), SCALE)
    assert labels[45, 60] == 0
    assert len({labels[round(y), round(x)] for y, x in around} - {0}) == 6


def test_specks_are_left_out_and_cells_beside_them_are_not() -> None:
    cell, specks = disc(45, 30, RADIUS), np.zeros(SHAPE, bool)
    specks[10:12, 100:102] = specks[80, 60:90] = True
    labels, area = segment(densities(cell | specks), np.ones(SHAPE, bool), SCALE)
    assert labels.max() == 1
    assert (labels[cell] > 0).mean() > 0.95
    assert not labels[specks].any()
    assert area == pytest.approx(AREA)


def test_a_cell_at_the_frame_is_found_up_to_it() -> None:
    labels, _ = segment(densities(disc(0, 60, RADIUS)), np.ones(SHAPE, bool), SCALE)
    assert labels[0, 60] > 0


def test_where_nothing_is_dense_there_is_nothing() -> None:
    for density in (np.zeros(SHAPE, np.float32), np.full(SHAPE, 0.15, np.float32)):
        assert segment(density, np.ones(SHAPE, bool), SCALE)[0].max() == 0


def test_outside_of_the_field_there_is_nothing() -> None:
    labels, _ = segment(densities(np.ones(SHAPE, bool)), disc(45, 60, 30), SCALE)
    assert not labels[~disc(45, 60, 30)].any()
