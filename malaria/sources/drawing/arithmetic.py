"""Random numbers and arithmetic that give the same bits on any machine (the rules are in `__init__.py`)."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Random = np.random.Generator
Range = tuple[float, float]
Image = TypeVar("Image", NDArray[np.float32], NDArray[np.float64])


def generator(*seed: int) -> Random:
    """Random numbers of their own for each sequence of seeds."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))


def between(rng: Random, low: float, high: float) -> float:
    """A random number of [low, high)."""
    return low + (high - low) * rng.random()


def direction(rng: Random) -> tuple[float, float]:
    """A point of the unit circle: the rational parametrisation of a quarter, turned by quarters."""
    t = rng.random()
    x, y = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    return ((x, y), (-y, x), (-x, -y), (y, -x))[int(rng.integers(4))]


def distance(x: Floats, y: Floats) -> Floats:
    """The distance of points from the origin."""
    r: Floats = np.sqrt(x * x + y * y)
    return r


def bell(d: Floats) -> Floats:
    """1 at 0, 1/4 at 1."""
    return 1 / ((1 + d * d) * (1 + d * d))


def flat(d: Floats) -> Floats:
    """1 up to near 1, where it is 1/2: a flatter top and a steeper edge than the bell's."""
    return 1 / (1 + d * d * (d * d))


def mix(image: Floats, amount: Floats, colour: Floats) -> Floats:
    """Blend the image towards a colour: not at all where `amount` is 0, wholly where it is 1."""
    return image + amount * (colour - image)


def soften(image: Image, reach: int = 1, weight: float = 0.25) -> Image:
    """Blur by (weight, 1 - 2 weight, weight), `reach` px apart, along both axes of (3, height, width).

    The edge repeats.
    """
    for axis in (1, 2):
        at = np.arange(image.shape[axis])
        before, after = image.take(np.maximum(at - reach, 0), axis), image.take(np.minimum(at + reach, at[-1]), axis)
        image = (before + after) * weight + image * (1 - 2 * weight)
    return image


def enlarge(grid: Floats, height: int, width: int) -> Floats:
    """Bilinear interpolation of a coarse grid to (height, width), corner on corner."""
    return stretch(stretch(grid, height).T, width).T


def stretch(grid: Floats, length: int) -> Floats:
    """Linear interpolation of the first axis to `length` points, end on end."""
    at = np.arange(length) * ((len(grid) - 1) / (length - 1))
    low = np.minimum(np.floor(at), len(grid) - 2).astype(np.intp)
    part = (at - low)[:, None]
    stretched: Floats = grid[low] * (1 - part) + grid[low + 1] * part
    return stretched
