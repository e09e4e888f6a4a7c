"""A set of cells like NLM's: cut out, black around the outline, spread unevenly over patients."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from malaria.core.workers import count_cores, start_pool
from malaria.data.index import CLASSES
from malaria.sources.drawing.arithmetic import between, direction, enlarge, generator, soften
from malaria.sources.drawing.cells import STEP, Look, body, distractors, extent, outline, parasites
from malaria.sources.drawing.png import encode_png

BLOCK = 1024  # cells drawn ahead of the reader at most, about 50 MB

# pink, salmon, tan, lilac, violet, purple: a patient's is a mixture of two
STAINS = ((222, 150, 150), (224, 156, 142), (207, 172, 156), (186, 180, 200), (158, 144, 200), (192, 124, 158))


class Cell(NamedTuple):
    """One cell to draw."""

    name: str
    seed: int
    patient: int
    number: int
    parasitized: bool


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


def _draw_all(tasks: list[Cell], workers: int) -> Iterator[tuple[str, bytes]]:
    if workers == 1:
        yield from map(_named_png, tasks)
        return
    with start_pool(workers) as pool:
        for start in range(0, len(tasks), BLOCK):  # map alone would run ahead of a slow reader without bound
            yield from pool.map(_named_png, tasks[start : start + BLOCK], chunksize=16)


def _named_png(cell: Cell) -> tuple[str, bytes]:
    return cell.name, encode_png(draw_cell(cell))


def plan(patients: int, cells: int, seed: int) -> list[Cell]:
    """The cells of `draw_cells`, sorted by name, not yet drawn."""
    rng = generator(seed, 1)
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
    rng = generator(seed, 2, patient)
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


def draw_cell(cell: Cell) -> NDArray[np.uint8]:
    """The pixels of a cell: uint8, shape (height, width, 3), black outside of it."""
    look = _look(cell.seed, cell.patient)
    rng = generator(cell.seed, 4, cell.patient, cell.number)
    depth = outline(rng, look.radius)
    coarse = depth[extent(depth)]
    inner = enlarge(coarse, STEP * coarse.shape[0], STEP * coarse.shape[1])
    image = distractors(rng, look, body(rng, look, inner), inner)
    if cell.parasitized:
        image = parasites(rng, look, image, inner)
    for _ in range(look.blur):
        image = soften(image)
    image = image + look.noise * (rng.random(image.shape) + rng.random(inner.shape) - 1)
    mask = np.repeat(np.repeat(coarse < 1, STEP, 0), STEP, 1)
    return np.where(mask, np.clip(image, 1, 255), 0).astype(np.uint8).transpose(1, 2, 0)


def _look(seed: int, patient: int) -> Look:
    rng = generator(seed, 3, patient)
    one, other = (np.array(STAINS[int(i)], np.float64) for i in rng.integers(0, len(STAINS), 2))
    bright = between(rng, 0.88, 1.06)
    stain = bright * (one + between(rng, 0, 0.35) * (other - one) + 14 * (rng.random(3) - 0.5))
    bluish = min(max((float(stain[2] - stain[0]) + 40) / 60, 0.0), 1.0)  # the ink goes with it: magenta to violet
    ink = np.array([176 - 66 * bluish, 24, 118 + 50 * bluish]) + 30 * (rng.random(3) - 0.5)
    background = bright * np.array([228 - 8 * bluish, 212 + 8 * bluish, 188 + 28 * bluish])
    dx, dy = direction(rng)
    slope = between(rng, 0, 0.12)
    return Look(
        stain=stain[:, None, None],
        ink=ink[:, None, None],
        background=background[:, None, None],
        light=(slope * dx, slope * dy),
        blur=int(rng.integers(0, 4)),
        noise=between(rng, 2, 7),
        pallor=(0, between(rng, 0, 0.6)),
        radius=between(rng, 56, 70),
    )
