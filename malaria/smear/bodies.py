"""What lies on a slide: red cells, and what is none."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from malaria.smear.light import Floats, Mask
from malaria.smear.split import Labels, Points, convexity, find_neighbours, pixels_of

Kind = Literal["single", "clumped", "border"]
Other = Literal["small", "dense", "clump"]  # platelets and specks; white cells and stain; cells that stay together

AREAS = 0.25, 2.0  # of a typical cell, that a red cell may cover
CONVEX = 0.75  # convexity of a red cell, at least
DENSE = 2.0  # times the density of a typical pixel of the cells: nuclei, platelets, stain
DENSE_SHARE = 0.45  # of a red cell's pixels that may be that dense: a parasite covers less
# a white cell is larger than a red one, and its nucleus may be in lobes with pale cytoplasm between
LARGE, LARGE_DENSE_SHARE = 1.6, 0.25


@dataclass(frozen=True)
class Body:
    """A body on the slide: its pixels (N, 2) as row and column, what it is, and the convexity of its outline."""

    points: Points
    kind: Kind | Other
    convexity: float


def describe_bodies(labels: Labels, density: Floats, area: float, edge: Mask) -> list[Body]:
    """Each label (H, W) as a body, where a typical cell has `area` pixels.

    `edge` are the pixels along the frame and around the field, where cells are cut.
    """
    touching = {number for pair in find_neighbours(labels) for number in pair}
    cut = set(np.unique(labels[edge]).tolist())
    dense = DENSE * np.median(density[labels > 0]) if labels.any() else 0.0
    bodies = []
    for number, points in pixels_of(labels).items():
        shape = convexity(points)
        kind: Kind | Other | None = _find_other(points, shape, area, float((density[tuple(points.T)] > dense).mean()))
        kind = kind or ("border" if number in cut else "clumped" if number in touching else "single")
        bodies.append(Body(points, kind, shape))
    return bodies


def _find_other(points: Points, shape: float, area: float, dense: float) -> Other | None:
    """What a body is if it is no red cell."""
    if len(points) < AREAS[0] * area:
        return "small"
    if dense > (LARGE_DENSE_SHARE if len(points) > LARGE * area else DENSE_SHARE):
        return "dense"
    return "clump" if len(points) > AREAS[1] * area or shape < CONVEX else None
