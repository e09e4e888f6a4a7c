"""How large a red cell is in a photograph, estimated from the photograph itself: nobody has to know a magnification."""

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage
from skimage.filters import threshold_otsu

from malaria.data.decode import Pixels
from malaria.smear.light import Floats, Mask, find_field, optical_density
from malaria.smear.segment import Scale
from malaria.smear.split import convexity, pixels_of

Values = npt.NDArray[np.number]

SIDE = 900  # px, of the longer side at which a photograph is looked at first
FINEST = 14  # px a cell: where it comes out smaller, a part of the photograph is looked at closer
ROUNDS = 2  # the density depends on the diameter, and the diameter on the density
CLIPS = 95, 98, 99.5, 99.9  # percentiles at which densities are clipped, the first that tells cells apart: nuclei and
# specks are far denser than cells and must not decide, but where cells are few, cells are among the densest pixels too
SEPARATION = 0.78  # variance between cells and background by the variance of all; 0.77 or less where there are no cells
DIAMETERS = 20, 300  # px, of red cells: smaller ones are specks; larger ones no objective gives, but a strong blur
ROUND, PIN_HOLE = 0.85, 10  # convexity of a pale centre, and px of what is too small to tell
CONVEX = 0.92  # convexity of a cell that lies alone
ALONE = 0.1  # of what is dense: with a smaller share in cells that lie alone, clumps tell their size
FOREGROUND = 0.6  # of Otsu's threshold: the rims of pale cells are fainter than the middle between cell and background
FEWEST = 3  # cells, from which the size of a cell is estimated


def estimate_scale(photograph: Image.Image) -> Scale | None:
    """The scale of an RGB photograph; None where fewer than FEWEST cells are in it."""
    window = photograph
    while True:
        factor = min(1.0, SIDE / max(window.size))
        scale = _measure(np.asarray(resize(window, factor)))
        if scale is None or scale.diameter >= FINEST or factor == 1:
            return _unscale(scale, factor)
        width, height = (side // 2 for side in window.size)
        window = window.crop((width // 2, height // 2, width // 2 + width, height // 2 + height))


def _unscale(scale: Scale | None, factor: float) -> Scale | None:
    """The scale in px of the photograph; None where what was taken for cells can be none."""
    if scale is None or not DIAMETERS[0] <= scale.diameter / factor <= DIAMETERS[1]:
        return None
    return scale._replace(diameter=scale.diameter / factor)


def resize(image: Image.Image, factor: float) -> Image.Image:
    """An image made smaller, each pixel the mean of those it stands for; of factor 1 the same."""
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image if factor == 1 else image.resize((width, height), Image.Resampling.BOX, reducing_gap=2)


def _measure(pixels: Pixels) -> Scale | None:
    """The scale of (H, W, 3) pixels, in their px."""
    field = find_field(pixels)
    if not field.any():
        return None
    scale: Scale | None = Scale(max(pixels.shape) / 30, 0)
    for _ in range(ROUNDS):
        if scale is None:
            return None
        density = optical_density(pixels, field, scale.diameter)
        scale = _measure_density(density, field)
    return scale


def _measure_density(density: Floats, field: Mask) -> Scale | None:
    """The scale by the cells that lie alone, or where there are hardly any, by the depth of clumps."""
    threshold = _find_threshold(density[field])
    if threshold is None:
        return None
    found = ndimage.binary_opening(density > threshold) & field
    diameter = _measure_single_cells(ndimage.binary_fill_holes(found)) or _measure_clumps(_fill_round_holes(found))
    return None if diameter is None else Scale(diameter, threshold)


def _measure_single_cells(bodies: Mask) -> float | None:
    """From the areas of convex bodies (H, W), weighted by their width; None if they are few."""
    parts = pixels_of(ndimage.label(bodies)[0]).values()
    areas = np.array([len(part) for part in parts if len(part) > PIN_HOLE and convexity(part) > CONVEX])
    if len(areas) < FEWEST or areas.sum() < ALONE * bodies.sum():
        return None
    # neither a few white cells nor many specks outweigh the red cells
    return 2 * float((_weighted_median(areas, areas**0.5) / np.pi) ** 0.5)


def _measure_clumps(bodies: Mask) -> float | None:
    """From the deepest points of bodies (H, W), those of large cells counting more."""
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(bodies), 1)
    radii = depth[(depth == ndimage.maximum_filter(depth, 5)) & (depth > 2)]
    return None if len(radii) < FEWEST else 2 * _weighted_median(radii, radii**2)


def _weighted_median(values: Values, weights: Values) -> float:
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(sums, sums[-1] / 2)])


def _fill_round_holes(cells: Mask) -> Mask:
    """The cells (H, W) with round holes filled."""
    holes, _ = ndimage.label(~cells)
    round_ = [number for number, hole in pixels_of(holes).items() if len(hole) < PIN_HOLE or convexity(hole) > ROUND]
    filled: Mask = cells | np.isin(holes, round_)
    return filled


def _find_threshold(values: Floats) -> float | None:
    """The density (N,) from which on a pixel belongs to a cell (Otsu, 1979); None where there seem to be no cells."""
    for percentile in CLIPS:
        clipped = values.clip(max=np.percentile(values, percentile))
        if (variance := clipped.var()) > 0:
            threshold = threshold_otsu(clipped)
            high = clipped > threshold
            share, difference = high.mean(), clipped[high].mean() - clipped[~high].mean()
            if share * (1 - share) * difference**2 > SEPARATION * variance:
                return FOREGROUND * float(threshold)
    return None
