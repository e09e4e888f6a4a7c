"""The bodies on a slide: what is denser than the background, as one region a cell."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import closing, disk, opening

from malaria.smear.light import Floats, Mask
from malaria.smear.split import Labels, split_cells

GAP = 0.05  # of a diameter: half the width of a gap in the rim of a pale cell that is closed
SPECK = 1 / 12  # of a diameter: the radius of what is too small to be looked at
HOLE = 0.4  # of a cell's area: the largest pallor; a larger hole is background between cells
PIN_HOLE = 0.01  # of a cell's area: smaller ones are noise
RINGS = 1.15, 1.35, 1.55  # of a typical cell's radius: just outside of a cell around its pale centre, large or small
SURROUNDED = 0.8  # share of foreground there: more is around the background between touching cells


class Scale(NamedTuple):
    """The diameter (px) of a typical red cell, and the optical density from which on a pixel belongs to a cell."""

    diameter: float
    threshold: float


def segment(density: Floats, field: Mask, scale: Scale) -> tuple[Labels, float]:
    """Number the bodies of a density (H, W), 0 for none; and the area (px) of a typical cell."""
    area = np.pi / 4 * scale.diameter**2
    smooth = ndimage.gaussian_filter(density, scale.diameter / 40)
    return split_cells(find_foreground(smooth, scale, area) & field, area)


def find_foreground(density: Floats, scale: Scale, area: float) -> Mask:
    """What is denser than the background (H, W), pale centres filled, also where their rim has gaps; no specks."""
    gap = max(1, round(GAP * scale.diameter))
    found = np.pad(density > scale.threshold, gap, mode="edge")
    found = fill_pallor(found, found, area)
    found = fill_pallor(found, closing(found, disk(gap)), area)
    opened: Mask = opening(found, disk(max(1, round(SPECK * scale.diameter))))
    return opened[gap:-gap, gap:-gap]


def fill_pallor(found: Mask, closed: Mask, area: float) -> Mask:
    """`found` with the holes of `closed` filled that are pale centres, not the background between touching cells.

    Around a pale centre, just beyond the radius of a cell, there is background; around background there are cells.
    """
    holes = label(~closed, connectivity=1)
    sizes = np.bincount(holes.ravel())
    small = sizes <= HOLE * area
    solid = found | small[holes]
    filled = found.copy()
    for number, box in enumerate(ndimage.find_objects(holes), 1):
        if small[number] and (sizes[number] < PIN_HOLE * area or _share_around(solid, box, area) < SURROUNDED):
            filled[box] |= holes[box] == number
    return filled


def _share_around(solid: Mask, box: tuple[slice, slice], area: float) -> float:
    """The share of foreground on circles around a hole, where it is least."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    y, x = ((side.start + side.stop - 1) / 2 for side in box)
    radii = np.array(RINGS)[:, None] * (area / np.pi) ** 0.5
    rows = (y + radii * np.sin(angles)).round().astype(int).clip(0, solid.shape[0] - 1)
    columns = (x + radii * np.cos(angles)).round().astype(int).clip(0, solid.shape[1] - 1)
    return float(solid[rows, columns].mean(1).min())
