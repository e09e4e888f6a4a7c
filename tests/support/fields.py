"""Drawn photographs of several laboratories, and which of their true cells were found."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from malaria.data.decode import Pixels
from malaria.smear.photograph import RedCell
from malaria.sources.drawing.fields import Field, draw_field
from malaria.sources.drawing.labs import BLUE, HOME, VIVID, Lab

LABS = {"home": HOME, "blue": BLUE, "vivid": VIVID}
SEEN = 0.55  # of a typical cell: more of a cell than that is not hidden under others
SHAPE = 90, 120  # px, of a canvas


def labs(largest: int = 100) -> st.SearchStrategy[Lab]:
    """Laboratories of any magnification, density, light and kind of field."""
    return st.builds(
        replace,
        st.sampled_from([*LABS.values()]),
        radius=st.integers(18, largest),
        density=st.floats(0.2, 0.45),
        gradient=st.floats(0, 0.12),
        vignetting=st.floats(0, 0.15),
        round=st.booleans(),
    )


def draw(lab: Lab, seed: int = 1, cells: int | None = None, across: float = 14, *, bar: bool = False) -> Field:
    """A square photograph, so many radii wide."""
    side = round(across * lab.radius)
    return draw_field(lab, seed, cells, 0.3, side, side, scale_bar=bar)


def to_image(field: Field) -> Image.Image:
    return Image.fromarray(field.pixels)


def match(field: Field, cells: Sequence[RedCell]) -> list[int]:
    """For each cell the number of the true one whose pixels are its own (IoU above 0.5), 0 where there is none."""
    sizes = np.bincount(field.labels.ravel(), minlength=2)
    numbers = []
    for cell in cells:
        left, top, right, bottom = cell.box
        shared = np.bincount(field.labels[top:bottom, left:right][cell.mask], minlength=2)
        number = int(shared[1:].argmax()) + 1
        union = cell.mask.sum() + sizes[number] - shared[number]
        numbers.append(number if shared[number] > 0.5 * union else 0)
    return numbers


def findable(field: Field, lab: Lab) -> set[int]:
    """The numbers of the true cells that are neither cut nor much hidden."""
    cells = field.cells
    return set(cells.cell[~cells.cut & (cells.area > SEEN * np.pi * lab.radius**2)])


def true_diameter(field: Field) -> float:
    """Of a disc with the median area of the cells that are not cut, px."""
    return 2 * float(np.sqrt(np.median(field.cells.area[~field.cells.cut]) / np.pi))


def nothing(kind: str, height: int = 480, width: int = 640) -> Pixels:
    """A photograph of no smear."""
    random, (y, x) = np.random.default_rng(1), np.mgrid[:height, :width]
    faint = random.normal((220, 190, 180), 4, (height, width, 3))
    pages = np.where((y % 22 < 10) & (random.random((height, width)) < 0.4), 20, 250)
    shades = {
        "black": 0 * x,
        "white": 0 * x + 255,
        "gradient": 255 * x / width,
        "waves": 120 + 80 * np.sin(x / 90) + 40 * np.cos(y / 70),
        "stripes": 127 + 120 * np.sign(np.sin(x / 10)),
        "tiles": 127 + 120 * np.sign(np.sin(x / 15) * np.sin(y / 15)),
        "page": pages,
        "noise": random.integers(0, 256, (height, width)),
    }
    image = faint if kind == "faint noise" else np.stack([shades[kind]] * 3, -1) * [1, 0.92, 0.86]
    return image.clip(0, 255).astype(np.uint8)


NOTHING = ["black", "white", "gradient", "waves", "stripes", "tiles", "page", "noise", "faint noise"]


def disc(y: float, x: float, radius: float, stretch: float = 1, turn: float = 0) -> np.ndarray:
    """An ellipse on a canvas of SHAPE, `stretch` times as long as wide, of the area of a disc."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    dy, dx = rows - y, columns - x
    along, over = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    return np.hypot(along / stretch**0.5, over * stretch**0.5) < radius
