"""A body is a red cell or none, by its size, density and outline; a red cell is alone, touches another, or is cut."""

import numpy as np
import pytest

from malaria.smear.bodies import describe_bodies
from malaria.smear.light import Mask
from tests.support.fields import SHAPE, disc

AREA = np.pi * 14**2
NO_EDGE = np.zeros(SHAPE, bool)


def kinds(*masks: Mask, edge: Mask = NO_EDGE, dense: Mask = NO_EDGE) -> list[str]:
    """What each of some bodies is; the last one has a pixel that several claim."""
    labels = np.zeros(SHAPE, np.int32)
    for number, mask in enumerate(masks, 1):
        labels[mask] = number
    density = np.where(dense, np.float32(2), np.float32(0.4))
    return [body.kind for body in describe_bodies(labels, density, AREA, edge)]


def test_a_cell_is_single_clumped_or_at_the_border() -> None:
    edge = NO_EDGE.copy()
    edge[0] = True
    alone, one, other, cut = disc(70, 20, 14), disc(45, 60, 14), disc(45, 88, 15), disc(5, 20, 14)
    assert kinds(alone, one, other, cut, edge=edge) == ["single", "clumped", "clumped", "border"]


def test_a_cell_at_the_border_that_touches_another_counts_as_cut() -> None:
    edge = NO_EDGE.copy()
    edge[0] = True
    assert kinds(disc(8, 40, 14), disc(8, 67, 14), edge=edge) == ["border", "border"]


def test_what_is_too_small_too_large_or_no_oval_is_no_red_cell() -> None:
    star = disc(45, 90, 4)
    star[43:48, 70:110] = star[25:65, 88:93] = True
    assert kinds(disc(45, 20, 5), disc(45, 45, 14), star) == ["small", "single", "clump"]
    assert kinds(disc(45, 60, 25)) == ["clump"]


@pytest.mark.parametrize(("share", "kind"), [(0.2, "single"), (0.8, "dense")])
def test_a_parasite_may_be_dense_but_a_nucleus_fills_its_cell(share: float, kind: str) -> None:
    cells = [disc(20, 20, 14), disc(70, 20, 14), disc(20, 70, 14)]
    assert kinds(*cells, disc(70, 70, 14), dense=disc(70, 70, 14 * share**0.5))[-1] == kind


@pytest.mark.parametrize(("radius", "kind"), [(14, "single"), (18.5, "dense")])
def test_a_large_body_with_a_nucleus_in_lobes_is_a_white_cell(radius: float, kind: str) -> None:
    cells = [disc(20, 20, 14), disc(70, 20, 14), disc(20, 70, 14)]
    nucleus = disc(62, 70, radius * 0.4) | disc(74, 70, radius * 0.4)
    assert kinds(*cells, disc(68, 70, radius), dense=nucleus)[-1] == kind


def test_the_convexity_is_that_of_the_outline() -> None:
    labels = np.zeros(SHAPE, np.int32)
    labels[disc(45, 20, 14)], labels[disc(45, 80, 14) & ~disc(30, 80, 8)] = 1, 2
    round_one, bitten = describe_bodies(labels, np.ones(SHAPE, np.float32), AREA, NO_EDGE)
    assert bitten.convexity < 0.95 < round_one.convexity <= 1
    assert len(round_one.points) == disc(45, 20, 14).sum()


def test_nothing_has_no_bodies() -> None:
    assert describe_bodies(np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.float32), AREA, NO_EDGE) == []
