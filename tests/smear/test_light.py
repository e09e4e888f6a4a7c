"""The field of view is found, and the density of what lies in it does not depend on how the light falls."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from malaria.smear.light import find_field, optical_density
from malaria.sources.drawing.labs import BLUE, HOME, Lab
from tests.support.fields import draw, labs

EVEN = replace(BLUE, radius=24, pallor=(0, 0.5), noise=0, vignetting=0, gradient=0)


@settings(deadline=None, max_examples=10, derandomize=True)
@given(labs(largest=30))
def test_the_field_is_the_frame_or_its_round_part(lab: Lab) -> None:
    pixels = draw(lab, cells=20).pixels
    found = find_field(pixels)
    if not lab.round:
        assert found.all()
        return
    lit = pixels.max(-1) > 60
    assert (found & lit).sum() > 0.99 * lit.sum()
    assert 0.6 < found.mean() < 0.85
    y, x = np.nonzero(found)
    assert np.hypot(y - y.mean(), x - x.mean()).max() < 0.53 * len(found)


@pytest.mark.parametrize("brightness", [0, 3, 20])
def test_in_the_dark_there_is_no_field(brightness: int) -> None:
    assert not find_field(np.full((50, 60, 3), brightness, np.uint8)).any()


def test_what_is_dark_in_the_field_belongs_to_it_and_a_lamp_beside_it_does_not() -> None:
    y, x = np.ogrid[:200, :300]
    inside = np.hypot(y - 100, x - 100) < 90
    pixels = np.where(inside[..., None], np.uint8(200), np.uint8(0))
    pixels[90:110, 90:110] = 5
    pixels[20:40, 260:290] = 255
    assert (find_field(np.repeat(pixels, 3, -1)) == inside).mean() > 0.99


def test_a_speck_of_light_or_a_single_pixel_is_a_field() -> None:
    for shape in ((1, 1), (1, 40), (40, 1), (2, 2)):
        assert find_field(np.full((*shape, 3), 200, np.uint8)).shape == shape


def test_density_is_that_of_cells_and_nearly_none_between_them() -> None:
    field = draw(EVEN)
    density = optical_density(field.pixels, find_field(field.pixels), 2 * EVEN.radius)
    assert density.shape == field.labels.shape
    assert density.min() >= 0
    assert np.median(density[field.labels == 0]) < 0.05
    assert np.median(density[field.labels > 0]) > 0.3


@pytest.mark.parametrize("changes", [{"gradient": 0.12}, {"vignetting": 0.12}, {"gradient": 0.1, "vignetting": 0.1}])
def test_uneven_light_cancels_out(changes: dict[str, float]) -> None:
    maps = []
    for lab in (EVEN, replace(EVEN, **changes)):
        pixels = draw(lab, across=24).pixels
        maps.append(optical_density(pixels, find_field(pixels), 2 * EVEN.radius))
    assert np.abs(maps[0] - maps[1]).mean() < 0.03


def test_a_shorter_exposure_changes_little() -> None:
    pixels = draw(EVEN).pixels
    maps = [
        optical_density(shown, find_field(shown), 2 * EVEN.radius)
        for shown in (pixels, (pixels * 0.6).astype(np.uint8))
    ]
    assert np.abs(maps[0] - maps[1]).mean() < 0.03


def test_outside_of_the_field_there_is_no_density() -> None:
    pixels = draw(replace(HOME, radius=20), cells=20).pixels
    field = find_field(pixels)
    assert (optical_density(pixels, field, 40)[~field] == 0).all()
