"""A photograph is drawn in strips that leave no trace, and out of focus by as much as asked."""

from dataclasses import replace

import numpy as np
import pytest

from malaria.sources.drawing import optics
from malaria.sources.drawing.arithmetic import generator
from malaria.sources.drawing.labs import BLUE, HOME, Lab
from malaria.sources.drawing.optics import photograph
from malaria.sources.drawing.placement import Frame

FRAME = Frame(90, 120, 45, 60)
PLAIN = replace(BLUE, noise=0, vignetting=0, gradient=0)


@pytest.mark.parametrize("lab", [BLUE, HOME], ids=["full", "round"])
def test_strips_leave_no_trace(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    smear = (255 * generator(0).random((3, 120, 90))).astype(np.float32)
    frame = replace(FRAME, radius=44.0) if lab.round else FRAME
    whole = photograph(generator(1), replace(lab, noise=0), frame, smear)
    monkeypatch.setattr(optics, "STRIP", 11)
    assert np.array_equal(photograph(generator(1), replace(lab, noise=0), frame, smear), whole)


@pytest.mark.parametrize("sigma", [0.0, 0.7, 1.5, 2.5, 4.0])
def test_a_blur_has_the_sigma_asked_for(sigma: float) -> None:
    point = np.zeros((3, 61, 61), np.float32)
    point[:, 30, 30] = 1
    blurred = optics._blurred(point, slice(0, 61), sigma, optics._reaches(sigma))[0]
    away = np.arange(61) - 30
    assert blurred.sum() == pytest.approx(1, rel=1e-5)
    assert (blurred.sum(axis=0) * away**2).sum() == pytest.approx(sigma**2, abs=1e-4)


def test_corners_are_dimmer_than_the_middle_by_the_vignetting() -> None:
    even = np.full((3, 120, 90), 200, np.float32)
    photo = photograph(generator(0), replace(PLAIN, vignetting=0.3, contrast=1), FRAME, even)
    corners = photo[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert photo[60, 45].mean() == pytest.approx(200, rel=0.03)
    assert corners.mean() == pytest.approx(140, rel=0.05)
