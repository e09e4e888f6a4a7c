"""Drawn red blood cells: a stand-in for NLM's images that needs no data and no network.

Cells look like thin-smear crops: pink to lilac or grey after their patient's stain, black around the outline, with
rings, dots and larger bodies in the parasitized ones and platelets and specks to mistake for them. They are made to
run and test the pipeline with; a score on them says nothing about microscopes.

**The same seed gives the same bytes on any machine**, so that a hash of the archive holds everywhere. Hence:

- random numbers are PCG64's `random` and `integers` only. `uniform` may be fused into one rounding on some
  processors, `normal` and its like call libm. Each cell has its own seed, so the order of drawing is free.
- arithmetic is + - * / sqrt, floor and comparisons, which IEEE 754 rounds in one way, one ufunc at a time. No sin, exp
  or power (libm's last bits differ), no float sums, means or products of matrices (SIMD changes their order).
  A direction is a point of the rational circle; multiples of an angle come from the recurrence of cos and sin; a
  soft edge is a rational function; a smooth field is a coarse random grid, enlarged.
- PNGs are stored, not deflated: each build of zlib compresses to bytes of its own.
"""

import functools
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from malaria.core.archive import write_archive
from malaria.core.workers import count_cores, start_pool
from malaria.data.index import CLASSES, COLUMNS
from malaria.params import Download

Floats = NDArray[np.float64]
Random = np.random.Generator
Shape = Callable[[Random, Floats, Floats], Floats]
Range = tuple[float, float]

STEP = 3  # px: NLM's outlines come from a segmentation at a third of the resolution, hence their steps
GRID = 68  # points of the coarse canvas a side: no cell is wider than 204 px
BLOCK = 1024  # cells drawn ahead of the reader at most, about 50 MB

FAINT = 0.08  # chance of a parasite to be hard to see
# pink, salmon, tan, lilac, violet, purple: a patient's is a mixture of two
STAINS = ((222, 150, 150), (224, 156, 142), (207, 172, 156), (186, 180, 200), (158, 144, 200), (192, 124, 158))


class Cell(NamedTuple):
    """One cell to draw."""

    name: str
    seed: int
    patient: int
    number: int
    parasitized: bool


@dataclass(frozen=True)
class Look:
    """What the cells of one patient share. Colours have shape (3, 1, 1), 0 to 255."""

    stain: Floats
    ink: Floats
    background: Floats
    light: tuple[float, float]  # relative change of brightness over 100 px, rightwards and downwards
    blur: int  # passes
    noise: float  # grey levels
    pallor: float  # of the centre, 0 to 1
    radius: float  # px


def draw_cells(patients: int, cells: int, seed: int, workers: int | None = None) -> Iterator[tuple[str, bytes]]:
    """Draw a set of cells: (name, PNG), sorted by name, as in `Parasitized/C7P7ThinF_IMG_20150820_101530_cell_41.png`.

    Half are parasitized, spread unevenly; a quarter of the patients have none of those. All have uninfected cells.
    The images are RGB, 60 to 200 px a side and black outside the cell. `workers` (default: one a core)
    changes the time only.

    Raises:
        ValueError: fewer than four cells a patient.
    """
    if not 1 <= patients <= cells // 4:
        raise ValueError(f"{cells} cells of {patients} patients: take 1 patient or more and 4 cells or more of each")
    return _draw_all(plan(patients, cells, seed), workers or min(count_cores(), 1 + cells // 100))


def write_cells(params: Download, path: Path) -> pd.DataFrame:
    """Write the drawn cells of `download.synthetic`, and return their index."""
    settings = params.synthetic
    drawn = draw_cells(settings.patients, settings.cells, settings.seed)
    with tqdm(drawn, path.name, settings.cells, unit="cell", delay=0.5, disable=None) as cells:
        write_archive(path, cells)
    rows = [
        (cell.name, int(cell.parasitized), f"C{cell.patient + 1}")
        for cell in plan(settings.patients, settings.cells, settings.seed)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _draw_all(tasks: list[Cell], workers: int) -> Iterator[tuple[str, bytes]]:
    if workers == 1:
        yield from map(_named_png, tasks)
        return
    with start_pool(workers) as pool:
        for start in range(0, len(tasks), BLOCK):  # map alone would run ahead of a slow reader without bound
            yield from pool.map(_named_png, tasks[start : start + BLOCK], chunksize=16)


def _named_png(cell: Cell) -> tuple[str, bytes]:
    return cell.name, encode_png(draw_cell(cell))


# Who has which cells


def plan(patients: int, cells: int, seed: int) -> list[Cell]:
    """The cells of `draw_cells`, sorted by name, not yet drawn."""
    rng = _random(seed, 1)
    infected = patients - patients // 4
    skew = [1000 * (infected - rank) // (rank + 6) + 1 for rank in range(infected)]
    parasitized = _share(cells // 2, skew) + [0] * (patients - infected)
    uninfected = _share(cells - cells // 2, [int(w) for w in rng.integers(90, 110, patients)])
    order = [int(i) for i in rng.permutation(patients)]
    counts = [(uninfected[i], parasitized[order[i]]) for i in range(patients)]
    return sorted(cell for i, (no, yes) in enumerate(counts) for cell in _patient_cells(seed, i, no, yes))


def _share(total: int, weights: list[int]) -> list[int]:
    """`total` in whole parts of at least 1, about in proportion to `weights`."""
    rest, whole = total - len(weights), sum(weights)
    ends = [rest * sum(weights[:i]) // whole for i in range(len(weights) + 1)]
    return [1 + high - low for low, high in itertools.pairwise(ends)]


def _patient_cells(seed: int, patient: int, uninfected: int, parasitized: int) -> Iterator[Cell]:
    rng = _random(seed, 2, patient)
    month, day, hour = (int(rng.integers(low, high)) for low, high in ((6, 12), (1, 29), (9, 18)))
    fields = [
        f"IMG_2015{month:02}{day:02}_{hour:02}{int(m):02}{int(rng.integers(60)):02}" for m in rng.integers(0, 60, 4)
    ]
    total = uninfected + parasitized
    numbers = rng.permutation(2 * total)[:total]  # one number, one cell: no file name is in both classes
    for i, number in enumerate(int(n) + 1 for n in numbers):
        yes = i >= uninfected
        file = f"C{patient + 1}P{patient + 1}ThinF_{fields[number % len(fields)]}_cell_{number}.png"
        yield Cell(f"{CLASSES[yes]}/{file}", seed, patient, number, yes)


def _random(*seed: int) -> Random:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))


def _between(rng: Random, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _direction(rng: Random) -> tuple[float, float]:
    """A point of the unit circle: the rational parametrisation of a quarter, turned by quarters."""
    t = rng.random()
    x, y = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    return ((x, y), (-y, x), (-x, -y), (y, -x))[int(rng.integers(4))]


# One cell


def draw_cell(cell: Cell) -> NDArray[np.uint8]:
    """The pixels of a cell: uint8, shape (height, width, 3), black outside of it."""
    look = _look(cell.seed, cell.patient)
    rng = _random(cell.seed, 4, cell.patient, cell.number)
    coarse = _outline(rng, look.radius)
    inner = _enlarge(coarse, STEP * coarse.shape[0], STEP * coarse.shape[1])
    image = _distractors(rng, look, _body(rng, look, inner), inner)
    if cell.parasitized:
        image = _parasites(rng, look, image, inner)
    for _ in range(look.blur):
        image = _soften(image)
    image = image + look.noise * (rng.random(image.shape) + rng.random(inner.shape) - 1)
    mask = np.repeat(np.repeat(coarse < 1, STEP, 0), STEP, 1)
    return np.where(mask, np.clip(image, 1, 255), 0).astype(np.uint8).transpose(1, 2, 0)


def _look(seed: int, patient: int) -> Look:
    rng = _random(seed, 3, patient)
    one, other = (np.array(STAINS[int(i)], np.float64) for i in rng.integers(0, len(STAINS), 2))
    bright = _between(rng, 0.88, 1.06)
    stain = bright * (one + _between(rng, 0, 0.35) * (other - one) + 14 * (rng.random(3) - 0.5))
    bluish = min(max((float(stain[2] - stain[0]) + 40) / 60, 0.0), 1.0)  # the ink goes with it: magenta to violet
    ink = np.array([176 - 66 * bluish, 24, 118 + 50 * bluish]) + 30 * (rng.random(3) - 0.5)
    background = bright * np.array([228 - 8 * bluish, 212 + 8 * bluish, 188 + 28 * bluish])
    dx, dy = _direction(rng)
    slope = _between(rng, 0, 0.12)
    return Look(
        stain=stain[:, None, None],
        ink=ink[:, None, None],
        background=background[:, None, None],
        light=(slope * dx, slope * dy),
        blur=int(rng.integers(0, 4)),
        noise=_between(rng, 2, 7),
        pallor=_between(rng, 0, 0.6),
        radius=_between(rng, 56, 70),
    )


@functools.cache
def _harmonics() -> tuple[Floats, list[tuple[Floats, Floats]]]:
    """The distance from the centre in px, and (cos k*angle, sin k*angle), k = 0 to 16, over the coarse canvas."""
    at = STEP * (np.arange(GRID, dtype=np.float64) - (GRID - 1) / 2)
    x, y = at[None, :], at[:, None]
    r = _distance(x, y)
    c, s = x / r, y / r
    waves = [(np.ones_like(r), np.zeros_like(r))]
    for _ in range(16):
        ck, sk = waves[-1]
        waves.append((ck * c - sk * s, sk * c + ck * s))
    return r, waves


def _outline(rng: Random, radius: float) -> Floats:
    """The distance from the centre relative to an irregular outline (below 1 is inside): coarse, cropped to it."""
    r, waves = _harmonics()
    wobble, crenated = _between(rng, 0.09, 0.45), 0.009 * (rng.random() < 0.15)
    edge = np.ones_like(r)
    for k in range(2, len(waves)):
        cosine, sine = waves[k]
        wave = (2 * rng.random() - 1) * cosine + (2 * rng.random() - 1) * sine
        edge = edge + (wobble / (k * k) + crenated) * wave
    if rng.random() < 0.25:  # a tail or a bite
        dx, dy = _direction(rng)
        away = _between(rng, 10, 40) * (1 - (waves[1][0] * dx + waves[1][1] * dy))
        edge = edge + _between(rng, -0.5, 0.45) / ((1 + away) * (1 + away))
    depth = r / np.clip(radius * _between(rng, 0.75, 1.15) * edge, 31, 98)
    rows, columns = np.flatnonzero((depth < 1).any(1)), np.flatnonzero((depth < 1).any(0))
    return depth[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _body(rng: Random, look: Look, inner: Floats) -> Floats:
    """The cell without what is in it: float64, shape (3, height, width), with a light rim outside its membrane."""
    height, width = inner.shape
    x, y = np.arange(width) - width / 2, (np.arange(height) - height / 2)[:, None]
    cloud = _enlarge(rng.random((6, 6)), height, width) + 0.5 * _enlarge(rng.random((17, 17)), height, width) - 0.75
    light = 1 + (look.light[0] * x + look.light[1] * y) / 100 + _between(rng, 0.02, 0.09) * cloud
    image = look.stain * (light * _between(rng, 0.95, 1.05) - 0.07 * inner * inner)
    dx, dy = _direction(rng)
    away = _between(rng, 0, 0.3) * look.radius
    pale = _flat(_distance(x - away * dx, y - away * dy) / (look.radius * _between(rng, 0.25, 0.55)))
    image = _mix(image, look.pallor * _between(rng, 0, 1) * pale, look.background)
    rim = np.clip((inner - 1 + _between(rng, 1, 4) / look.radius) * 30 + 0.5, 0, 1)
    return _mix(image, 0.8 * rim, look.background)


def _parasites(rng: Random, look: Look, image: Floats, inner: Floats) -> Floats:
    """Add one to three parasites: rings, compact dots and grown trophozoites, of which some are faint."""
    for _ in range((1, 1, 1, 1, 2, 2, 3)[int(rng.integers(7))]):
        kind = rng.random()
        shape, sizes = (_ring, (7, 13)) if kind < 0.5 else (_dot, (5, 8)) if kind < 0.72 else (_trophozoite, (8, 16))
        strengths = (0.1, 0.5) if rng.random() < FAINT else (0.6, 1)
        image = _stamp(rng, image, inner, shape, sizes, strengths, look.ink, 0.4)
    return image


def _distractors(rng: Random, look: Look, image: Floats, inner: Floats) -> Floats:
    """Add, to some cells, what is no parasite."""
    lilac, brown = look.stain + 0.5 * (look.ink - look.stain), 0.5 * look.ink + 15
    kinds: tuple[tuple[float, int, Shape, Range, Range, Floats, float], ...] = (
        (0.04, 1, _granular, (8, 14), (0.4, 0.7), lilac, 1),  # a platelet that lies against the cell
        (0.08, 1, _blot, (1.5, 3.5), (0.2, 0.65), look.ink, 0.4),  # a speck of stain
        (0.05, 1, _blot, (2, 4), (0.4, 0.8), brown, 0),  # dust
        (0.06, 1, _blot, (4, 9), (0.3, 0.8), look.background, 0),  # a vacuole
        (0.04, 1, _band, (5, 10), (0.1, 0.35), look.ink, 0),  # a fold: a ring without chromatin
        (0.06, 8, _blot, (1.5, 2.5), (0.15, 0.4), look.ink, 0),  # stippling
    )
    for chance, count, shape, sizes, strengths, colour, edge in kinds:
        for _ in range(count if rng.random() < chance else 0):
            image = _stamp(rng, image, inner, shape, sizes, strengths, colour, edge)
    return image


def _stamp(
    rng: Random, image: Floats, inner: Floats, shape: Shape, sizes: Range, strengths: Range, colour: Floats, edge: float
) -> Floats:
    """Mix a body into the cell at a random place, turned and stretched; `edge` is its chance to lie there."""
    low, high = (0.8, 0.97) if rng.random() < edge else (0.0, 0.78)
    spots = np.flatnonzero((inner >= low) & (inner < high))
    row, column = divmod(int(spots[int(rng.integers(len(spots)))]), inner.shape[1])
    size, stretch = _between(rng, *sizes), _between(rng, 1, 1.4)
    y, x = (np.arange(inner.shape[0])[:, None] - row) / size, (np.arange(inner.shape[1]) - column) / size
    dx, dy = _direction(rng)
    u, v = (x * dx + y * dy) / stretch, (y * dx - x * dy) * stretch
    return _mix(image, _between(rng, *strengths) * shape(rng, u, v), colour)


# Bodies: how much of each pixel they cover, 0 to 1, in coordinates that have them within about 1 of the origin


def _blot(rng: Random, u: Floats, v: Floats) -> Floats:
    return _flat(_distance(u, v))


def _band(rng: Random, u: Floats, v: Floats) -> Floats:
    return _bell((_distance(u, v) - 1) / _between(rng, 0.2, 0.45)) * np.clip(0.7 + 0.3 * u, 0.2, 1)


def _ring(rng: Random, u: Floats, v: Floats) -> Floats:
    """A thin ring, weaker away from its dark dot of chromatin."""
    chromatin = _flat(_distance(u - 1, v) / _between(rng, 0.25, 0.45))
    return np.maximum(_between(rng, 0.35, 0.8) * _band(rng, u, v), chromatin)


def _dot(rng: Random, u: Floats, v: Floats) -> Floats:
    """A compact dot with a trace of cytoplasm beside it."""
    return np.maximum(_blot(rng, u, v), _between(rng, 0.2, 0.5) * _bell(_distance(u - 0.9, v * 1.3)))


def _trophozoite(rng: Random, u: Floats, v: Floats) -> Floats:
    """A larger irregular body, denser in a part of it."""
    dense = _flat(_distance(u - 0.4, v) / _between(rng, 0.25, 0.5))
    return np.maximum(_between(rng, 0.55, 0.9) * _granular(rng, u, v), dense)


def _granular(rng: Random, u: Floats, v: Floats) -> Floats:
    """A body with an uneven edge and grain."""
    d = _distance(u, v) + 0.9 * (_enlarge(rng.random((13, 13)), *u.shape) - 0.5)
    grain = 0.65 + 0.35 * _enlarge(rng.random((24, 24)), *u.shape)
    return grain * _flat(np.maximum(d, 0))


# Arithmetic that is the same everywhere


def _distance(x: Floats, y: Floats) -> Floats:
    distance: Floats = np.sqrt(x * x + y * y)
    return distance


def _bell(d: Floats) -> Floats:
    """1 at 0, 1/4 at 1."""
    return 1 / ((1 + d * d) * (1 + d * d))


def _flat(d: Floats) -> Floats:
    """1 up to near 1, where it is 1/2: a flatter top and a steeper edge than the bell's."""
    return 1 / (1 + d * d * (d * d))


def _mix(image: Floats, amount: Floats, colour: Floats) -> Floats:
    return image + amount * (colour - image)


def _soften(image: Floats) -> Floats:
    """Blur by (1, 2, 1) / 4 along both axes of (3, height, width); the edge repeats."""
    for axis in (1, 2):
        at = np.arange(image.shape[axis])
        before, after = image.take(np.maximum(at - 1, 0), axis), image.take(np.minimum(at + 1, at[-1]), axis)
        image = (before + after) * 0.25 + image * 0.5
    return image


def _enlarge(grid: Floats, height: int, width: int) -> Floats:
    """Bilinear interpolation of a coarse grid to (height, width), corner on corner."""
    return _stretch(_stretch(grid, height).T, width).T


def _stretch(grid: Floats, length: int) -> Floats:
    at = np.arange(length) * ((len(grid) - 1) / (length - 1))
    low = np.minimum(np.floor(at), len(grid) - 2).astype(np.intp)
    part = (at - low)[:, None]
    stretched: Floats = grid[low] * (1 - part) + grid[low + 1] * part
    return stretched


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """An RGB PNG of uint8 pixels, shape (height, width, 3), stored without compression."""
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with its filter: 0, none
    lines[:, 1:] = pixels.reshape(height, -1)
    raw = lines.tobytes()
    stored = b"\x78\x01"
    for start in range(0, len(raw), 65535):
        part = raw[start : start + 65535]
        stored += struct.pack("<BHH", start + 65535 >= len(raw), len(part), len(part) ^ 0xFFFF) + part
    stored += struct.pack(">I", zlib.adler32(raw))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", stored) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
