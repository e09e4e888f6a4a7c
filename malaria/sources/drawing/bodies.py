"""Bodies: how much of each pixel they cover, 0 to 1, in coordinates that have them within about 1 of the origin."""

from collections.abc import Callable

import numpy as np

from malaria.sources.drawing.arithmetic import Floats, Random, bell, between, distance, enlarge, flat

Shape = Callable[[Random, Floats, Floats], Floats]


def blot(rng: Random, u: Floats, v: Floats) -> Floats:
    """A disc with a soft edge."""
    return flat(distance(u, v))


def band(rng: Random, u: Floats, v: Floats) -> Floats:
    """A thin ring, weaker on one side."""
    return bell((distance(u, v) - 1) / between(rng, 0.2, 0.45)) * np.clip(0.7 + 0.3 * u, 0.2, 1)


def ring(rng: Random, u: Floats, v: Floats) -> Floats:
    """A thin ring, weaker away from its dark dot of chromatin."""
    chromatin = flat(distance(u - 1, v) / between(rng, 0.25, 0.45))
    return np.maximum(between(rng, 0.35, 0.8) * band(rng, u, v), chromatin)


def dot(rng: Random, u: Floats, v: Floats) -> Floats:
    """A compact dot with a trace of cytoplasm beside it."""
    return np.maximum(blot(rng, u, v), between(rng, 0.2, 0.5) * bell(distance(u - 0.9, v * 1.3)))


def trophozoite(rng: Random, u: Floats, v: Floats) -> Floats:
    """A larger irregular body, denser in a part of it."""
    dense = flat(distance(u - 0.4, v) / between(rng, 0.25, 0.5))
    return np.maximum(between(rng, 0.55, 0.9) * granular(rng, u, v), dense)


def granular(rng: Random, u: Floats, v: Floats) -> Floats:
    """A body with an uneven edge and grain."""
    d = distance(u, v) + 0.9 * (enlarge(rng.random((13, 13)), *u.shape) - 0.5)
    grain = 0.65 + 0.35 * enlarge(rng.random((24, 24)), *u.shape)
    return grain * flat(np.maximum(d, 0))
