"""Crops of one cell with its surroundings: find the cell in the middle, and blacken the rest as in NIH's crops."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops

from malaria.data.decode import BLACK, Pixels

Mask = npt.NDArray[np.bool_]

WORKING_SIDE = 96  # px, of the longer side at which a crop is segmented: NIH's masks are of a third of the resolution
CUT_OUT = 0.4  # share of the border that is black from which on a crop is cut out: NIH's have 0.57 or more
SHARES = 0.2, 0.97  # of the crop that a cell fills: less is a speck, more no outline
DENSITY = 0.4  # of a typical pixel of the cell: what is denser than this share of it belongs to a cell
FAINT = 0.2  # optical density, summed over the channels: less is uneven background; cells have 0.4 or more
COARSE = 64  # px, of the side at which a crop that is cut out is looked at for parts
WHOLE = 0.8  # share of such a crop's pixels that hang together with the central one: of NIH's 0.8 or more
LESSER = 0.5  # of the depth of the deeper of two cells that touch: the other's at least
WAIST = 0.85  # of the lesser's depth: where two cells touch at most. 1 in 1,500 of NIH's crops is as narrow somewhere
MIDDLE = 0.35  # of half the side: a cell that does not reach this close to the centre is a neighbour


def cut_out(image: Image.Image) -> Image.Image | None:
    """An RGB crop with all but the cell in its middle black, cropped to the cell; None where no cell is found.

    A crop whose border is mostly black is cut out already, and comes back as it is, if it is of one cell.
    """
    if is_cut_out(image):
        return image if is_one_body(image) else None
    mask = find_cell(np.asarray(image))
    return None if mask is None else apply_mask(image, mask)


def is_cut_out(image: Image.Image) -> bool:
    """Whether at least CUT_OUT of the pixels along the border of an RGB image are black."""
    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return bool((border.max(-1) < BLACK).mean() >= CUT_OUT)


def is_one_body(image: Image.Image) -> bool:
    """Whether what is not black in an RGB crop that is cut out hangs together, but for specks."""
    from scipy import ndimage  # with scikit-image a second to import, and those that read no crops do without

    mask = _find_lit(image) > 0  # with the thinnest bridge between two parts
    parts, _ = ndimage.label(mask)
    nearest = np.where(mask, _distance_from_centre(*mask.shape), np.inf).argmin()
    return bool((parts == parts.flat[nearest])[mask].sum() >= WHOLE * mask.sum())


def is_pair(image: Image.Image) -> bool:
    """Whether what is not black in an RGB crop that is cut out is two cells that touch: it has a waist.

    Its depth is the distance to its outline, and two maxima of that are divided by less than WAIST of the lesser.
    """
    from scipy import ndimage

    mask = ndimage.binary_fill_holes(np.pad(_find_lit(image) >= 128, 1))
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1)
    for level in np.linspace(0.3, WAIST, 6) * depth.max():
        parts, number = ndimage.label(depth > level)
        peaks = np.sort(ndimage.maximum(depth, parts, range(1, number + 1)))
        if number > 1 and peaks[-2] >= max(LESSER * peaks[-1], level / WAIST):
            return True
    return False


def _find_lit(image: Image.Image) -> Pixels:
    """How much of each pixel is not black, 0 to 255, at (COARSE, COARSE)."""
    red, green, blue = image.split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    lit = brightest.point([255 * (value >= BLACK) for value in range(256)])
    return np.asarray(lit.resize((COARSE, COARSE), Image.Resampling.BOX))


def apply_mask(image: Image.Image, mask: Mask) -> Image.Image:
    """The part of an RGB image (H, W) around a mask (H, W), black outside of the mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    inside = mask[top:bottom, left:right]
    cell = np.asarray(image)[top:bottom, left:right] * inside[..., None]
    cell[inside & (cell.max(-1) < BLACK)] = BLACK  # or `blacken` would take what is dark in the cell for background
    return Image.fromarray(cell)


def find_cell(crop: Pixels) -> Mask | None:
    """The mask (H, W) of the cell in the middle of an RGB crop (H, W, 3); None where there is none.

    Cells absorb light, so they are denser than the background, which is the brightest in the crop: the optical density
    is compared with that of the middle, holes (central pallor) are filled, and a watershed on the distance to the
    outline (Beucher and Lantuejoul, 1979) parts the cell from its neighbours.
    """
    from scipy import ndimage  # with scikit-image a second, and crops that are cut out do without
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    small = _shrink(crop)
    radius = _distance_from_centre(*small.shape[:2])
    density = _optical_density(small)
    typical = np.percentile(density[radius < 0.8], 60)
    if typical < FAINT:
        return None
    cells = ndimage.binary_opening(ndimage.binary_fill_holes(density > DENSITY * typical), iterations=2)
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(cells), 2)
    seeds = np.zeros(depth.shape, np.int32)
    peaks = peak_local_max(depth, min_distance=WORKING_SIDE // 5, labels=cells.astype(int))
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    parts = watershed(-depth, seeds, mask=cells)
    central = np.bincount(parts[radius < MIDDLE], minlength=len(peaks) + 1)[1:]
    if not central.any():
        return None
    found = ndimage.binary_fill_holes(parts == central.argmax() + 1)
    return _enlarge(found, crop) if SHARES[0] <= found.mean() <= SHARES[1] else None


def _shrink(crop: Pixels) -> Pixels:
    scale = WORKING_SIDE / max(crop.shape[:2])
    height, width = (max(1, round(side * scale)) for side in crop.shape[:2])
    return np.asarray(Image.fromarray(crop).resize((width, height), Image.Resampling.BOX))


def _enlarge(mask: Mask, crop: Pixels) -> Mask:
    size = crop.shape[1], crop.shape[0]
    return np.asarray(Image.fromarray(mask).convert("L").resize(size, Image.Resampling.BILINEAR)) >= 128


def _distance_from_centre(height: int, width: int) -> npt.NDArray[np.float64]:
    """Of each pixel, in halves of the sides: 1 on the inscribed ellipse."""
    y, x = (2 * (np.arange(side) + 0.5) / side - 1 for side in (height, width))
    distance: npt.NDArray[np.float64] = np.hypot(y[:, None], x)
    return distance


def _optical_density(crop: Pixels) -> npt.NDArray[np.float64]:
    """How much light each pixel of (H, W, 3) absorbs, over the channels, against the brightest twentieth."""
    levels = crop.astype(float) + 8  # grey levels: log of 0 and noise in the dark
    gray = levels.mean(-1)
    background = np.median(levels[gray >= np.percentile(gray, 95)], axis=0)
    density: npt.NDArray[np.float64] = np.log(background / levels).clip(0).sum(-1)
    return density
