"""Where the cells of a field lie: apart, against one another, or one on another."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from malaria.sources.drawing.arithmetic import Floats, Random, between, direction, distance

APART, OVER = 1.08, 0.74  # distances of two centres relative to the sum of radii: of cells alone, of those that overlap
TRIES = 48
FULL = 0.8  # the part of a field that cells may cover


@dataclass(frozen=True)
class Frame:
    """What a photograph shows: all of its height x width px, or the disc of `radius` around (x, y)."""

    width: int
    height: int
    x: float
    y: float
    radius: float | None = None

    @property
    def area(self) -> float:
        """Px of the field."""
        return 3.14159 * self.radius * self.radius if self.radius else float(self.width * self.height)

    def shows(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether points are in the field."""
        framed = (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height)
        return framed & (distance(x - self.x, y - self.y) < self.radius) if self.radius else framed


def place(rng: Random, frame: Frame, large: Floats, radii: Floats, clumping: float) -> Floats:
    """The centres (x, y) of the white cells, radii `large`, then of the red cells: whole px, shape (n, 2).

    Red cells touch or overlap others about as often as `clumping` says, and more often where they are crowded;
    they keep off white cells. No centre is outside of the field.

    Raises:
        ValueError: more cells than the field has room for.
    """
    sizes = np.concatenate([large, radii])
    check_room(frame, sizes)
    at = np.zeros((len(sizes), 2))
    for i, size in enumerate(sizes):
        crowd = i > len(large) and rng.random() < clumping
        points = _anywhere(rng, frame)
        if crowd:
            points = np.concatenate([_beside(rng, frame, at[len(large) : i], sizes[len(large) : i] + size), points])
        room = _room(points, at[:i], sizes[:i] + size, len(large))
        good = np.flatnonzero(room >= (OVER if crowd else APART))
        at[i] = points[good[0] if len(good) else np.argmax(room)]
    return at


def check_room(frame: Frame, sizes: Floats) -> None:
    """Refuse cells that would cover too much of the field."""
    covered = sum(3.14159 * float(size) * float(size) for size in sizes) / frame.area
    if covered > FULL:
        raise ValueError(f"{len(sizes)} cells would cover {covered:.0%} of the field: take fewer, or a larger field")


def _anywhere(rng: Random, frame: Frame) -> Floats:
    """Random points of the field; its centre where none of them is in it."""
    points = np.floor(rng.random((TRIES, 2)) * np.array([frame.width, frame.height]))
    shown: Floats = points[frame.shows(points[:, 0], points[:, 1])]
    return shown if len(shown) else np.floor(np.array([[frame.x, frame.y]]))


def _beside(rng: Random, frame: Frame, at: Floats, reach: Floats) -> Floats:
    """Points of the field beside some of the cells there, at most the sum of radii away."""
    points = []
    for j in rng.integers(0, len(at), TRIES // 4):
        away = between(rng, OVER, 1.02) * reach[j]
        points.append(np.floor(at[j] + away * np.array(direction(rng))))
    beside = np.array(points)
    shown: Floats = beside[frame.shows(beside[:, 0], beside[:, 1])]
    return shown


def _room(points: Floats, at: Floats, reach: Floats, large: int) -> Floats:
    """The distance of each point from the cells there, relative to the sums of radii: that of the nearest one."""
    if not len(at):
        return np.full(len(points), 9.0)
    apart = distance(points[:, None, 0] - at[:, 0], points[:, None, 1] - at[:, 1]) / reach
    apart[:, :large] *= OVER  # white cells are not overlapped
    nearest: Floats = apart.min(axis=1)
    return nearest
