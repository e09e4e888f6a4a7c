"""One red blood cell on a canvas of its own: its outline, its body, and what is in it."""

import functools
from dataclasses import dataclass

import numpy as np

from malaria.sources.drawing.arithmetic import (
    Floats,
    Random,
    Range,
    between,
    direction,
    distance,
    enlarge,
    flat,
    mix,
)
from malaria.sources.drawing.bodies import Shape, band, blot, dot, granular, ring, trophozoite

STEP = 3  # px: NLM's outlines come from a segmentation at a third of the resolution, hence their steps
GRID = 68  # points of the coarse canvas a side: no cell is wider than 204 px
FAINT = 0.08  # chance of a parasite to be hard to see


@dataclass(frozen=True)
class Look:
    """What the cells of one patient share. Colours have shape (3, 1, 1), 0 to 255."""

    stain: Floats
    ink: Floats
    background: Floats
    light: tuple[float, float]  # relative change of brightness over 100 px, rightwards and downwards
    blur: int  # passes
    noise: float  # grey levels
    pallor: Range  # of the centre, from cell to cell, 0 to 1
    radius: float  # px
    hollow: Range = (0.25, 0.55)  # the radius of the pale centre, relative


@functools.cache
def _harmonics() -> tuple[Floats, list[tuple[Floats, Floats]]]:
    """The distance from the centre in px, and (cos k*angle, sin k*angle), k = 0 to 16, over the coarse canvas."""
    at = STEP * (np.arange(GRID, dtype=np.float64) - (GRID - 1) / 2)
    x, y = at[None, :], at[:, None]
    r = distance(x, y)
    c, s = x / r, y / r
    waves = [(np.ones_like(r), np.zeros_like(r))]
    for _ in range(16):
        ck, sk = waves[-1]
        waves.append((ck * c - sk * s, sk * c + ck * s))
    return r, waves


@dataclass(frozen=True)
class Form:
    """How the outlines of cells vary, relative to the radius."""

    sizes: Range = (0.75, 1.15)
    wobble: Range = (0.09, 0.45)  # how irregular
    crenated: float = 0.009  # how far the edge of one cell in seven is scalloped
    oval: float = 0  # how far the longest are drawn out
    uneven: float = 0.25  # the part of them with a tail or a bite


FORM = Form()  # of NLM's cut out cells


def outline(rng: Random, radius: float, form: Form = FORM) -> Floats:
    """The distance from the centre relative to an irregular outline (below 1 is inside), every `STEP` px.

    Shape (GRID, GRID), with the centre in the middle.
    """
    r, waves = _harmonics()
    irregular, scallops = between(rng, *form.wobble), form.crenated * (rng.random() < 0.15)
    edge = _oval(rng, form.oval) if form.oval else np.ones_like(r)
    for k in range(2, len(waves)):
        cosine, sine = waves[k]
        wave = (2 * rng.random() - 1) * cosine + (2 * rng.random() - 1) * sine
        edge = edge + (irregular / (k * k) + scallops) * wave
    if rng.random() < form.uneven:  # a tail or a bite
        dx, dy = direction(rng)
        away = between(rng, 10, 40) * (1 - (waves[1][0] * dx + waves[1][1] * dy))
        edge = edge + between(rng, -0.5, 0.45) / ((1 + away) * (1 + away))
    return r / np.clip(radius * between(rng, *form.sizes) * edge, 31, 98)


def _oval(rng: Random, most: float) -> Floats:
    """The edge of an ellipse: most are nearly round."""
    _, waves = _harmonics()
    dx, dy = direction(rng)
    part = rng.random()
    edge: Floats = 1 + most * part * part * (waves[2][0] * dx + waves[2][1] * dy)
    return edge


def extent(depth: Floats, below: float = 1) -> tuple[slice, slice]:
    """The rows and columns of an outline's canvas that hold what is below this depth."""
    rows, columns = np.flatnonzero((depth < below).any(1)), np.flatnonzero((depth < below).any(0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def body(rng: Random, look: Look, inner: Floats, scale: float = 1) -> Floats:
    """The cell without what is in it: float64, shape (3, height, width), with a light rim outside its membrane.

    `scale` is the magnification relative to NLM's: all sizes are in px of theirs.
    """
    height, width = inner.shape
    x, y = (np.arange(width) - width / 2) / scale, (np.arange(height) - height / 2)[:, None] / scale
    cloud = enlarge(rng.random((6, 6)), height, width) + 0.5 * enlarge(rng.random((17, 17)), height, width) - 0.75
    light = 1 + (look.light[0] * x + look.light[1] * y) / 100 + between(rng, 0.02, 0.09) * cloud
    image = look.stain * (light * between(rng, 0.95, 1.05) - 0.07 * inner * inner)
    dx, dy = direction(rng)
    away = between(rng, 0, 0.3) * look.radius
    pale = flat(distance(x - away * dx, y - away * dy) / (look.radius * between(rng, *look.hollow)))
    image = mix(image, between(rng, *look.pallor) * pale, look.background)
    rim = np.clip((inner - 1 + between(rng, 1, 4) / look.radius) * 30 + 0.5, 0, 1)
    return mix(image, 0.8 * rim, look.background)


def parasites(rng: Random, look: Look, image: Floats, inner: Floats, scale: float = 1) -> Floats:
    """Add one to three parasites: rings, compact dots and grown trophozoites, of which some are faint.

    They lie where `inner`, the distance from the centre relative to the outline, is below 1.
    """
    for _ in range((1, 1, 1, 1, 2, 2, 3)[int(rng.integers(7))]):
        kind = rng.random()
        shape, sizes = (ring, (7, 13)) if kind < 0.5 else (dot, (5, 8)) if kind < 0.72 else (trophozoite, (8, 16))
        strengths = (0.1, 0.5) if rng.random() < FAINT else (0.6, 1)
        image = stamp(rng, image, inner, shape, sizes, strengths, look.ink, 0.4, scale)
    return image


def distractors(rng: Random, look: Look, image: Floats, inner: Floats, scale: float = 1) -> Floats:
    """Add, to some cells, what is no parasite."""
    lilac, brown = look.stain + 0.5 * (look.ink - look.stain), 0.5 * look.ink + 15
    kinds: tuple[tuple[float, int, Shape, Range, Range, Floats, float], ...] = (
        (0.04, 1, granular, (8, 14), (0.4, 0.7), lilac, 1),  # a platelet that lies against the cell
        (0.08, 1, blot, (1.5, 3.5), (0.2, 0.65), look.ink, 0.4),  # a speck of stain
        (0.05, 1, blot, (2, 4), (0.4, 0.8), brown, 0),  # dust
        (0.06, 1, blot, (4, 9), (0.3, 0.8), look.background, 0),  # a vacuole
        (0.04, 1, band, (5, 10), (0.1, 0.35), look.ink, 0),  # a fold: a ring without chromatin
        (0.06, 8, blot, (1.5, 2.5), (0.15, 0.4), look.ink, 0),  # stippling
    )
    for chance, count, shape, sizes, strengths, colour, edge in kinds:
        for _ in range(count if rng.random() < chance else 0):
            image = stamp(rng, image, inner, shape, sizes, strengths, colour, edge, scale)
    return image


def stamp(
    rng: Random,
    image: Floats,
    inner: Floats,
    shape: Shape,
    sizes: Range,
    strengths: Range,
    colour: Floats,
    edge: float,
    scale: float,
) -> Floats:
    """Mix a body into the cell at a random place, turned and stretched; `edge` is its chance to lie there."""
    low, high = (0.8, 0.97) if rng.random() < edge else (0.0, 0.78)
    spots = np.flatnonzero((inner >= low) & (inner < high))
    row, column = divmod(int(spots[int(rng.integers(len(spots)))]), inner.shape[1])
    size, stretch = scale * between(rng, *sizes), between(rng, 1, 1.4)
    y, x = (np.arange(inner.shape[0])[:, None] - row) / size, (np.arange(inner.shape[1]) - column) / size
    dx, dy = direction(rng)
    u, v = (x * dx + y * dy) / stretch, (y * dx - x * dy) * stretch
    return mix(image, between(rng, *strengths) * shape(rng, u, v), colour)
