"""The size of a red cell is told from the photograph alone, and nothing is told where there are none."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from malaria.smear.scale import SIDE, estimate_scale, resize
from malaria.sources.drawing.labs import BLUE, VIVID, Lab
from tests.support.fields import LABS, NOTHING, draw, labs, nothing, to_image, true_diameter


def test_the_diameter_is_about_that_of_the_cells() -> None:
    errors = []
    for lab, seed in product(LABS.values(), range(4)):
        field = draw(replace(lab, radius=20 + 7 * seed), seed)
        scale = estimate_scale(to_image(field))
        assert scale is not None
        assert 0 < scale.threshold < 1
        errors.append(scale.diameter / true_diameter(field) - 1)
    assert np.abs(np.median(errors)) < 0.12
    assert np.quantile(np.abs(errors), 0.9) < 0.2


@settings(deadline=None, max_examples=8, derandomize=True)
@given(labs(largest=60))
def test_the_scale_holds_over_laboratories(lab: Lab) -> None:
    field = draw(lab, across=18)
    scale = estimate_scale(to_image(field))
    assert scale is not None
    assert 0.65 < scale.diameter / true_diameter(field) < 1.5


@pytest.mark.parametrize("factor", [0.5, 1.6])
def test_a_photograph_of_another_resolution_has_cells_as_much_larger(factor: float) -> None:
    image = to_image(draw(replace(BLUE, radius=40)))
    other = image.resize((round(factor * image.width), round(factor * image.height)), Image.Resampling.BOX)
    one, two = estimate_scale(image), estimate_scale(other)
    assert one is not None
    assert two is not None
    assert two.diameter == pytest.approx(factor * one.diameter, rel=0.1)


def test_small_cells_of_a_large_photograph_are_looked_at_closer() -> None:
    field = draw(replace(VIVID, radius=14, density=0.1), across=140)
    assert 2 * 14 * SIDE / field.pixels.shape[1] < 14
    scale = estimate_scale(to_image(field))
    assert scale is not None
    assert scale.diameter == pytest.approx(true_diameter(field), rel=0.2)


@pytest.mark.parametrize("kind", NOTHING)
def test_without_a_smear_there_is_no_scale(kind: str) -> None:
    assert estimate_scale(Image.fromarray(nothing(kind))) is None


@pytest.mark.parametrize("lab", LABS)
@pytest.mark.parametrize("cells", [0, 1])
def test_one_cell_or_none_is_too_few(lab: str, cells: int) -> None:
    assert estimate_scale(to_image(draw(replace(LABS[lab], radius=25), cells=cells))) is None


def test_cells_of_few_pixels_are_none() -> None:
    assert estimate_scale(to_image(draw(replace(VIVID, radius=7), across=60))) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 3), (20, 600), (2000, 30)])
def test_an_image_of_any_shape_is_looked_at(shape: tuple[int, int]) -> None:
    estimate_scale(Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)))


def test_an_image_made_smaller_has_the_mean_of_its_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    small = np.asarray(resize(Image.fromarray(pixels), 0.5))
    assert np.abs(small - pixels.reshape(20, 2, 30, 2, 3).mean((1, 3))).max() <= 1
    assert (np.asarray(resize(Image.fromarray(pixels), 1)) == pixels).all()
    assert resize(Image.fromarray(pixels), 1e-3).size == (1, 1)
