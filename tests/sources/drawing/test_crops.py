"""Crops of another laboratory are half parasitized, of several patients, with neighbours, and of other colours."""

import io
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from malaria.sources.drawing.crops import Crop, draw_crops
from malaria.sources.drawing.labs import BLUE, HOME, VIVID, Lab


@pytest.fixture(scope="module")
def crops() -> list[Crop]:
    return list(draw_crops(VIVID, patients=5, cells=83, seed=0))


def pixels(crop: Crop) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(crop.png)))


def mean_colour(lab: Lab) -> np.ndarray:
    crops = draw_crops(replace(lab, radius=20), patients=4, cells=24, seed=0)
    return np.mean([pixels(crop).mean(axis=(0, 1)) for crop in crops], axis=0)


def test_a_seed_gives_its_crops(crops: list[Crop]) -> None:
    assert list(islice(draw_crops(VIVID, patients=5, cells=83, seed=0), 20)) == crops[:20]
    assert next(draw_crops(VIVID, patients=5, cells=83, seed=1)).png not in {crop.png for crop in crops}


def test_half_of_the_crops_are_parasitized_and_each_patient_has_both(crops: list[Crop]) -> None:
    assert len(crops) == len({crop.name for crop in crops}) == len({crop.png for crop in crops}) == 83
    assert sum(crop.parasitized for crop in crops) == 41
    for patient in ("P1", "P2", "P3", "P4", "P5"):
        own = [crop.parasitized for crop in crops if crop.patient == patient]
        assert 16 <= len(own) <= 17
        assert 0.4 < np.mean(own) < 0.6
    assert all(crop.name.startswith(f"{crop.patient}/") for crop in crops)


def test_a_crop_shows_its_cell_whole_with_background_and_neighbours(crops: list[Crop]) -> None:
    sides = np.array([pixels(crop).shape[:2] for crop in crops])
    assert np.all((sides > 1.6 * VIVID.radius) & (sides < 5 * VIVID.radius))
    green = [pixels(crop)[..., 1].astype(int) for crop in crops]
    middle = np.array(
        [np.median(it[it.shape[0] // 3 : -it.shape[0] // 3, it.shape[1] // 3 : -it.shape[1] // 3]) for it in green]
    )
    corners = np.array([[it[0, 0], it[0, -1], it[-1, 0], it[-1, -1]] for it in green])
    dark = corners < middle[:, None] + 40
    assert np.mean(dark) < 0.35
    assert dark.any()


@pytest.mark.parametrize("lab", [BLUE, VIVID], ids=["blue", "vivid"])
def test_another_laboratory_has_other_colours_than_home(lab: Lab) -> None:
    assert np.abs(mean_colour(lab) - mean_colour(HOME)).max() > 20


@pytest.mark.parametrize(("patients", "cells"), [(0, 10), (6, 11)])
def test_too_few_cells_for_the_patients_are_refused_before_drawing(patients: int, cells: int) -> None:
    with pytest.raises(ValueError, match=f"{cells} cells of {patients} patients"):
        draw_crops(VIVID, patients, cells, seed=0)
