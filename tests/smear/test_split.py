"""Touching cells are divided, and single ones are not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from malaria.smear.light import Mask
from malaria.smear.split import convexity, find_neighbours, pixels_of, split_cells
from tests.support.fields import SHAPE, disc

RADIUS = 16
AREA = np.pi * RADIUS**2
TURNS = st.floats(0, np.pi)


def measure(mask: Mask) -> float:
    return convexity(np.argwhere(mask))


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.floats(12, 20), st.floats(1, 1.35), TURNS)
def test_a_round_or_oval_cell_stays_whole(radius: float, stretch: float, turn: float) -> None:
    cell = disc(45, 60, radius, stretch, turn)
    labels, area = split_cells(cell, AREA)
    assert len(np.unique(labels[cell])) == 1
    assert area == AREA


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.floats(1.4, 1.95), TURNS, st.floats(13, 18))
def test_two_cells_that_overlap_are_divided(apart: float, turn: float, other: float) -> None:
    dy, dx = (0.5 * apart * RADIUS * part for part in (np.sin(turn), np.cos(turn)))
    one, two = disc(45 - dy, 60 - dx, RADIUS), disc(45 + dy, 60 + dx, other)
    labels, _ = split_cells(one | two, AREA)
    found = pixels_of(labels)
    assert len(found) == 2
    assert {labels[round(45 + s * dy), round(60 + s * dx)] for s in (-1, 1)} == {*found}


@settings(deadline=None, max_examples=20, derandomize=True)
@given(st.lists(st.tuples(st.floats(0, 90), st.floats(0, 120), st.floats(3, 22)), max_size=12))
def test_every_pixel_of_the_foreground_is_of_one_body_and_no_other_is(bodies: list[tuple[float, float, float]]) -> None:
    foreground = np.zeros(SHAPE, bool)
    for body in bodies:
        foreground |= disc(*body)
    labels, area = split_cells(foreground, AREA)
    assert ((labels > 0) == foreground).all()
    assert sum(len(points) for points in pixels_of(labels).values()) == foreground.sum()
    assert area > 0


def test_the_area_of_a_typical_cell_is_told_where_there_are_enough() -> None:
    foreground = np.zeros(SHAPE, bool)
    for y in (15, 45, 75):
        for x in (15, 45, 75, 105):
            foreground |= disc(y, x, 12)
    assert split_cells(foreground, AREA)[1] == pytest.approx(np.pi * 12**2, rel=0.05)


def test_what_is_large_and_has_no_notch_stays_one_body() -> None:
    labels, _ = split_cells(disc(45, 60, 42), AREA)
    assert 1 <= labels.max() <= 4


@settings(deadline=None, max_examples=20, derandomize=True)
@given(st.floats(10, 25), st.floats(1, 1.6), TURNS)
def test_an_oval_is_convex(radius: float, stretch: float, turn: float) -> None:
    assert 0.9 < measure(disc(45, 60, radius, stretch, turn)) <= 1


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 30), (30, 1), (7, 20)])
def test_a_rectangle_is_as_convex_as_can_be(height: int, width: int) -> None:
    assert measure(np.ones((height, width), bool)) == pytest.approx(1)


def test_a_notch_is_not_convex() -> None:
    corner = np.ones((20, 20), bool)
    corner[10:, 10:] = False
    assert measure(corner) == pytest.approx(300 / 350)
    assert measure(disc(45, 45, 16) | disc(45, 73, 16)) < 0.93


def test_neighbours_share_a_side() -> None:
    labels = np.array([[1, 1, 0, 4], [2, 1, 0, 0], [2, 3, 0, 5]], np.int32)
    assert find_neighbours(labels) == [(1, 2), (1, 3), (2, 3)]
    assert find_neighbours(np.zeros((3, 3), np.int32)) == []


def test_the_pixels_of_a_body_are_its_rows_and_columns() -> None:
    found = pixels_of(np.array([[0, 3], [1, 3]], np.int32))
    assert {number: points.tolist() for number, points in found.items()} == {1: [[1, 0]], 3: [[0, 1], [1, 1]]}
