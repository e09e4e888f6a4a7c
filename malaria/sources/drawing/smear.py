"""A smear in the making: cells and other bodies are laid on it one by one, and it keeps whose pixel is whose."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from malaria.sources.drawing.arithmetic import Floats, Random, enlarge
from malaria.sources.drawing.bystanders import Sprite
from malaria.sources.drawing.cells import GRID, STEP, Look, body, distractors, extent, outline, parasites
from malaria.sources.drawing.labs import NATIVE, Lab
from malaria.sources.drawing.placement import Frame

HALO = 1.12  # how far a cell's canvas reaches, relative to its outline
GAP = 2  # px: cells that are closer touch
SOFT = 1.5  # px: the width of a cell's edge, before any blur
HIDDEN = 2.0  # a depth outside of every cell

Mask = NDArray[np.bool_]
Row = dict[str, int | bool]


class Shape(NamedTuple):
    """A red cell without a place: its depth on a canvas of px (below 1 is inside), and its centre there."""

    depth: Floats
    row: int
    column: int
    radius: float  # of the disc of the same area, px


class Window(NamedTuple):
    """The part of a canvas that is within the photograph: its place there, and on the canvas."""

    there: tuple[slice, slice]
    here: tuple[slice, slice]


def draw_shape(rng: Random, lab: Lab) -> Shape:
    """The outline of one of the laboratory's red cells."""
    coarse, scale = outline(rng, NATIVE, lab.form), lab.radius / NATIVE
    parts = extent(coarse, HALO)
    depth = coarse[parts]
    sides = [max(int(STEP * scale * side + 0.5), 8) for side in depth.shape]
    centre = [
        int(((GRID - 1) / 2 - part.start) * (side - 1) / (part.stop - part.start - 1) + 0.5)
        for part, side in zip(parts, sides, strict=True)
    ]
    radius = scale * STEP * float(np.sqrt(np.count_nonzero(coarse < 1) / 3.14159))
    return Shape(enlarge(depth, sides[0], sides[1]), centre[0], centre[1], radius)


class Smear:
    """What a frame shows of a patient's smear."""

    def __init__(self, lab: Lab, look: Look, frame: Frame) -> None:
        self.lab, self.look, self.frame = lab, look, frame
        size = (frame.height, frame.width)
        self.picture = np.broadcast_to(look.background, (3, *size)).astype(np.float32)
        self.labels = np.zeros(size, np.int32)
        self.touching: set[int] = set()

    def add(self, sprite: Sprite, x: int, y: int) -> None:
        """Lay a body that is no red cell on the smear, its middle at (x, y)."""
        height, width = sprite.cover.shape
        window = self._window(height, width, y - height // 2, x - width // 2)
        colour = np.broadcast_to(sprite.colour, (3, height, width))[:, *window.here]
        under = self.picture[:, *window.there]
        under[:] = under + sprite.cover[window.here] * (colour - under)

    def add_cell(self, rng: Random, shape: Shape, cell: int, x: int, y: int, parasitized: bool) -> Row:
        """Lay a red cell on the smear, its centre at (x, y), and return what is known of it by now."""
        height, width = shape.depth.shape
        top, left = y - shape.row, x - shape.column
        inside = shape.depth < 1
        shown = inside & self.frame.shows(np.arange(width)[None, :] + left, np.arange(height)[:, None] + top)
        window = self._window(height, width, top, left)
        self._blend(self._draw(rng, shape, shown, parasitized), shape, window)
        self._claim(cell, shape, shown, window)
        rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
        box = {"x0": left + columns[0], "y0": top + rows[0], "x1": left + columns[-1] + 1, "y1": top + rows[-1] + 1}
        cut = bool((inside & ~shown).any())
        return {"cell": cell, "x": x, "y": y, **box, "parasitized": parasitized, "cut": cut}

    def _window(self, height: int, width: int, top: int, left: int) -> Window:
        rows, columns = _overlap(top, height, self.frame.height), _overlap(left, width, self.frame.width)
        return Window((rows[0], columns[0]), (rows[1], columns[1]))

    def _draw(self, rng: Random, shape: Shape, shown: Mask, parasitized: bool) -> Floats:
        """The pixels of a cell on its canvas; what is in it lies where the field shows it."""
        scale = self.lab.radius / NATIVE
        visible = np.where(shown, shape.depth, HIDDEN)
        image = distractors(rng, self.look, body(rng, self.look, shape.depth, scale), visible, scale)
        if parasitized:
            image = parasites(rng, self.look, image, visible, scale * self.lab.growth)
        return image

    def _blend(self, image: Floats, shape: Shape, window: Window) -> None:
        """Mix a cell into the picture: darker where it lies on another."""
        under = self.picture[:, *window.there]
        cover = np.clip((1 - shape.depth[window.here]) * (shape.radius / SOFT) + 0.5, 0, 1)
        seen = image[:, *window.here] * (1 - self.lab.translucency * (1 - under / self.look.background))
        under[:] = under + cover * (seen - under)

    def _claim(self, cell: int, shape: Shape, shown: Mask, window: Window) -> None:
        """Give a cell its pixels, and note which others it touches."""
        labels = self.labels[window.there]
        near = shape.depth[window.here] < 1 + GAP / shape.radius
        if neighbours := set(np.unique(labels[near]).tolist()) - {0}:
            self.touching |= neighbours | {cell}
        labels[shown[window.here]] = cell


def _overlap(start: int, length: int, limit: int) -> tuple[slice, slice]:
    """What of `length` px from `start` is within 0 to `limit`: there, and counted from `start`."""
    low, high = max(start, 0), max(min(start + length, limit), 0)
    return slice(low, high), slice(low - start, high - start)
