"""What else lies in a smear: white cells, platelets, specks of stain and dust, each on a canvas of its own."""

import itertools
from typing import NamedTuple

import numpy as np

from malaria.sources.drawing.arithmetic import (
    Floats,
    Random,
    between,
    direction,
    distance,
    enlarge,
    flat,
    mix,
)
from malaria.sources.drawing.bodies import blot, granular
from malaria.sources.drawing.cells import Look

LILAC = np.array([18.0, 0, 18])[:, None, None]


class Sprite(NamedTuple):
    """A body to lay on a smear: its colour, (3, h, w) or (3, 1, 1), and how much it covers, (h, w), 0 to 1."""

    colour: Floats
    cover: Floats
    radius: float  # px


def platelet(rng: Random, look: Look, radius: float) -> Sprite:
    """A grainy lilac body of an eighth to a third of a red cell's radius."""
    size = radius * between(rng, 0.13, 0.32)
    u, v = _grid(rng, size, 2.2)
    lilac = (
        look.background + between(rng, 0.5, 0.75) * (look.ink - look.background) + np.array([18, 0, 18])[:, None, None]
    )
    core = flat(distance(u, v) / between(rng, 0.3, 0.7))
    return Sprite(mix(lilac, 0.6 * core, look.ink), between(rng, 0.6, 0.95) * granular(rng, u, v), size)


def speck(rng: Random, look: Look, radius: float) -> Sprite:
    """A dot of stain, or of brown dust."""
    size = max(radius * between(rng, 0.02, 0.07), 0.7)
    u, v = _grid(rng, size, 3)
    brown = 0.4 * look.ink + np.array([40, 30, 10])[:, None, None]
    colour = look.ink if rng.random() < 0.7 else brown
    return Sprite(colour, between(rng, 0.4, 0.95) * blot(rng, u, v), size)


def white_cell(rng: Random, look: Look, radius: float) -> Sprite:
    """A white cell of this radius: a pale grainy body around a dark nucleus of one to four lobes."""
    u, v = _grid(rng, radius, 1.15)
    bumpy = distance(u, v) * (1 + 0.12 * _noise(rng, u, 5))
    pale = mix(look.background, np.array(between(rng, 0.12, 0.25)), look.ink) + LILAC / 2
    body = mix(pale, between(rng, 0.1, 0.35) * (0.5 + _noise(rng, u, 46)), look.ink)
    dark = look.ink * between(rng, 0.75, 1) + 60 * (0.2 + _noise(rng, u, 18)) * _noise(rng, u, 9)
    cover = 0.95 * np.clip((1 - bumpy) * radius / 2 + 0.5, 0, 1)
    return Sprite(mix(body, _nucleus(rng, u, v), dark), cover, radius)


def _noise(rng: Random, u: Floats, points: int) -> Floats:
    """Smooth noise of -0.5 to 0.5 over a canvas, from a grid of so many points a side."""
    return enlarge(rng.random((points, points)), *u.shape) - 0.5


def _nucleus(rng: Random, u: Floats, v: Floats) -> Floats:
    """How much of each pixel the nucleus covers: one large lobe, or two to four in an arc with bridges."""
    count = (1, 2, 3, 3, 4)[int(rng.integers(5))]
    if count == 1:
        lobes = [(0.1, 0.0, between(rng, 0.55, 0.75))]
    else:
        arc = ((-0.44, 0.2), (-0.06, -0.34), (0.4, -0.06), (0.28, 0.44))[:count]
        lobes = [(x + between(rng, -0.1, 0.1), y, between(rng, 0.27, 0.38)) for x, y in arc]
        lobes += [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2, 0.2) for a, b in itertools.pairwise(arc)]
    nearest = np.minimum.reduce([distance(u - x, v - y) / size for x, y, size in lobes])
    d = nearest * (1 + 0.6 * _noise(rng, u, 8) + 0.25 * _noise(rng, u, 20))
    cover: Floats = np.clip((1 - d) * 6 + 0.5, 0, 0.97)
    return cover


def _grid(rng: Random, size: float, reach: float) -> tuple[Floats, Floats]:
    """Coordinates of a canvas, turned and stretched, with a body of `size` px within 1 of the origin."""
    half = int(size * reach * 1.2) + 2
    at = np.arange(-half, half + 1) / size
    dx, dy = direction(rng)
    long = between(rng, 1, 1.15)
    x, y = at[None, :], at[:, None]
    return (x * dx + y * dy) / long, (y * dx - x * dy) * long
