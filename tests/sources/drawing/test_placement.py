"""Cells are placed in the field, apart from one another as far as there is room, and off white cells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from malaria.sources.drawing.arithmetic import generator
from malaria.sources.drawing.placement import APART, Frame, check_room, place

ROUND, FULL = Frame(400, 300, 190, 150, 140.0), Frame(400, 300, 200, 150)


@pytest.mark.parametrize("frame", [ROUND, FULL], ids=["round", "full"])
@given(cells=st.integers(0, 60), clumping=st.floats(0, 1), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_any_cells_lie_in_the_field_and_none_hides_another(
    frame: Frame, cells: int, clumping: float, seed: int
) -> None:
    radii = np.full(cells, 15.0)
    at = place(generator(seed), frame, np.array([]), radii, clumping)
    assert at.shape == (cells, 2)
    assert frame.shows(at[:, 0], at[:, 1]).all()
    apart = np.hypot(*(at[:, None] - at).transpose(2, 0, 1)) + 1e9 * np.eye(cells)
    assert cells < 2 or apart.min() > 0.5 * 30


def test_cells_lie_apart_where_there_is_room_and_off_white_cells_in_any_case() -> None:
    at = place(generator(0), FULL, np.array([30.0, 30.0]), np.full(20, 12.0), clumping=0)
    apart = np.hypot(*(at[2:, None] - at[2:]).transpose(2, 0, 1)) + 1e9 * np.eye(20)
    assert apart.min() >= APART * 24
    clumped = place(generator(0), FULL, np.array([30.0, 30.0]), np.full(20, 12.0), clumping=1)
    assert np.hypot(*(clumped[2:, None] - clumped[:2]).transpose(2, 0, 1)).min() >= 42


def test_room_is_that_of_the_round_field() -> None:
    sizes = np.full(100, 15.0)
    check_room(FULL, sizes)
    with pytest.raises(ValueError, match="100 cells would cover 115% of the field"):
        check_room(ROUND, sizes)
