"""From a smear to a photograph: focus, light, contrast, noise, and a round field or a full frame."""

import numpy as np
from numpy.typing import NDArray

from malaria.sources.drawing.arithmetic import Random, between, direction, distance, soften, stretch
from malaria.sources.drawing.labs import Lab
from malaria.sources.drawing.placement import Frame

STRIP = 256  # rows at a time: a photograph of 15 megapixels takes 180 MB as floats, and its copies should not
BLACK = 4.0  # around a round field

Picture = NDArray[np.float32]  # (3, height, width), 0 to 255


def photograph(rng: Random, lab: Lab, frame: Frame, smear: Picture) -> NDArray[np.uint8]:
    """The pixels of the photograph of a smear: uint8, shape (height, width, 3)."""
    sigma = lab.blur * lab.radius * between(rng, 0.6, 1.4)
    light = Light(rng, lab, frame)
    reaches = _reaches(sigma)
    pixels = np.empty((frame.height, frame.width, 3), np.uint8)
    for top in range(0, frame.height, STRIP):
        rows = slice(top, min(top + STRIP, frame.height))
        strip = _blurred(smear, rows, sigma, reaches) * light.at(rows)
        strip = (strip - 128) * lab.contrast + 128
        strip = _cut_out(frame, rows, strip)
        noise = rng.random(strip.shape, np.float32) + rng.random(strip.shape, np.float32) - 1
        pixels[rows] = np.clip(strip + np.float32(lab.noise) * noise + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return pixels


def _reaches(sigma: float) -> tuple[int, int]:
    """How far the two passes of a blur reach, in px, so that together they can have this sigma."""
    far = 1
    while sigma * sigma > (far * far + (far + 1) // 2 * ((far + 1) // 2)) / 2:
        far += 1
    return far, (far + 1) // 2


def _blurred(smear: Picture, rows: slice, sigma: float, reaches: tuple[int, int]) -> Picture:
    """Rows of the smear, out of focus."""
    margin = sum(reaches)
    top, bottom = max(rows.start - margin, 0), min(rows.stop + margin, smear.shape[1])
    strip = smear[:, top:bottom]
    weight = sigma * sigma / (2 * sum(reach * reach for reach in reaches))
    for reach in reaches:
        strip = soften(strip, reach, weight)
    return strip[:, rows.start - top : rows.stop - top]


class Light:
    """The light over a field: brighter on one side, dimmer in the corners, and uneven."""

    def __init__(self, rng: Random, lab: Lab, frame: Frame) -> None:
        dx, dy = direction(rng)
        slope = between(rng, 0, lab.gradient)
        half = max(frame.width, frame.height) / 2
        x, y = np.arange(frame.width) - frame.x, np.arange(frame.height) - frame.y
        self._across = (slope * dx / half * x)[None, :]
        self._down = (slope * dy / half * y)[:, None]
        reach = frame.radius * frame.radius if frame.radius else (frame.width**2 + frame.height**2) / 4
        self._dim_x, self._dim_y = (lab.vignetting / reach * x * x)[None, :], (lab.vignetting / reach * y * y)[:, None]
        self._cloud = stretch(0.03 * (rng.random((7, 9)) - 0.5).T, frame.width).T
        self._rows = np.arange(frame.height) * (6 / max(frame.height - 1, 1))

    def at(self, rows: slice) -> NDArray[np.float32]:
        """The light on these rows: 1 is neutral."""
        low = np.minimum(np.floor(self._rows[rows]), 5).astype(np.intp)
        part = (self._rows[rows] - low)[:, None]
        cloud = self._cloud[low] * (1 - part) + self._cloud[low + 1] * part
        light = (1 + self._across + self._down[rows] + cloud) * (1 - self._dim_x - self._dim_y[rows])
        return np.asarray(light, np.float32)


def _cut_out(frame: Frame, rows: slice, strip: Picture) -> Picture:
    """Black outside of a round field."""
    if not frame.radius:
        return strip
    x, y = np.arange(float(frame.width)) - frame.x, np.arange(float(rows.start), rows.stop)[:, None] - frame.y
    shown = np.clip((frame.radius - distance(x, y)) * (150 / frame.radius) + 0.5, 0, 1).astype(np.float32)
    return np.asarray(BLACK + shown * (strip - np.float32(BLACK)), np.float32)
