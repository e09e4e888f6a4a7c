"""The bodies on a slide: what is denser than the background, as one region a cell."""

import numpy as np
from scipy import ndimage
from skimage.measure import label, regionprops
from skimage.morphology import closing, disk, opening

from malaria.smear.light import Floats, Mask
from malaria.smear.scale import Scale
from malaria.smear.split import Labels, split_cells

GAP = 0.05  # of a diameter: half the width of a gap in the rim of a pale cell that is closed
SPECK = 1 / 12  # of a diameter: the radius of what is too small to be looked at
HOLE = 0.4  # of a cell's area: the largest pallor; a larger hole is background between cells
PIN_HOLE = 0.01  # of a cell's area: smaller ones are noise
ROUND = 0.85  # convexity of a pallor; the background between touching cells is concave
TINTED = 0.35  # of the threshold: a hole as dense as this is pallor, whatever its outline


def segment(density: Floats, field: Mask, scale: Scale) -> tuple[Labels, float]:
    """Number the bodies of a density (H, W), 0 for none; and the area (px) of a typical cell."""
    area = np.pi / 4 * scale.diameter**2
    smooth = ndimage.gaussian_filter(density, scale.diameter / 40)
    return split_cells(find_foreground(smooth, scale, area) & field, area)


def find_foreground(density: Floats, scale: Scale, area: float) -> Mask:
    """What is denser than the background (H, W), pallor filled, gaps in pale rims closed, specks removed."""
    found = fill_pallor(density > scale.threshold, density, scale.threshold, area)
    radius = max(1, round(GAP * scale.diameter))
    closed = closing(np.pad(found, radius, mode="edge"), disk(radius))[radius:-radius, radius:-radius]
    found |= fill_pallor(closed, density, scale.threshold, area) & ~closed
    opened: Mask = opening(found, disk(max(1, round(SPECK * scale.diameter))))
    return opened


def fill_pallor(found: Mask, density: Floats, threshold: float, area: float) -> Mask:
    """The cells (H, W) with their pale centres filled, but not the background that touching cells enclose."""
    filled = found.copy()
    for hole in regionprops(label(~found, connectivity=1), intensity_image=density):
        if hole.area <= HOLE * area and (
            hole.area < PIN_HOLE * area or hole.intensity_mean > TINTED * threshold or hole.solidity > ROUND
        ):
            filled[hole.slice][hole.image] = True
    return filled
