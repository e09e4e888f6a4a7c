"""Touching and overlapping red cells separated: cut at every notch, then joined again where a cut divided a cell."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.morphology import local_maxima
from skimage.segmentation import watershed

from malaria.smear.light import Mask

Labels = npt.NDArray[np.int32]
Points = npt.NDArray[np.int64]
Pair = tuple[int, int]

DEPTH = 0.01  # of the radius: the smallest notch that divides; too many parts are joined again, too few are not
SMOOTH = 1 / 14  # of the radius: sigma of the distance map
CONVEX = 0.93  # area by area of the convex hull from which on two parts are one cell
ALONE = 0.96  # convexity of what is one cell, whatever its size
CONVEX_BIT = 0.89  # the same, if one of the parts is no larger than BIT
BIT = 0.3  # of a typical cell
WHOLE = 0.92  # convexity of the parts that are taken for whole cells
ENOUGH = 6  # of these, to tell the area of a typical cell
LARGEST = 1.4, 2.0  # typical cells: what two parts of a cell may cover together; the same, if one is a BIT


def split_cells(foreground: Mask, area: float) -> tuple[Labels, float]:
    """Number the cells of a foreground (H, W), 0 is none; and the area (px) of a typical one, about `area`.

    A watershed on the distance to the outline (Beucher and Lantuejoul, 1979) from all its maxima divides too much, and
    neighbours whose union is convex, as red cells are, and no larger than a cell are joined, the most convex first.
    """
    radius = (area / np.pi) ** 0.5
    depth = ndimage.distance_transform_edt(np.pad(foreground, 1, mode="edge"))[1:-1, 1:-1]
    depth = ndimage.gaussian_filter(depth, SMOOTH * radius)
    seeds, _ = ndimage.label(local_maxima(np.floor(depth / (DEPTH * radius)).astype(np.int32)) & foreground)
    labels: Labels = watershed(-depth, seeds, mask=foreground).astype(np.int32)
    _keep_whole(labels, foreground)
    parts = pixels_of(labels)
    area = _typical_area(parts.values(), area)
    return _join(labels, parts, area), area


def _keep_whole(labels: Labels, foreground: Mask) -> None:
    """Give what lies alone and is convex one label, also where it is larger than most cells."""
    for points in pixels_of(ndimage.label(foreground)[0]).values():
        numbers = labels[tuple(points.T)]
        if numbers.min() != numbers.max() and convexity(points) > ALONE:
            labels[tuple(points.T)] = numbers[0]


def _typical_area(parts: Iterable[Points], area: float) -> float:
    """The median area of the parts that are whole cells; `area` where they are too few."""
    whole = [len(part) for part in parts if len(part) > BIT * area and convexity(part) > WHOLE]
    return float(np.median(whole)) if len(whole) >= ENOUGH else area


def convexity(points: Points) -> float:
    """The number of pixels (N, 2), as row and column, by the area of their convex hull."""
    rows, columns = points[:, 0] - points[:, 0].min(), points[:, 1]
    first, last = np.full(rows.max() + 1, columns.max()), np.full(rows.max() + 1, columns.min())
    np.minimum.at(first, rows, columns)
    np.maximum.at(last, rows, columns)
    heights = np.arange(len(first))
    corners = [np.stack([heights + y, side], 1) for y in (0, 1) for side in (first, last + 1)]
    return float(len(points) / ConvexHull(np.concatenate(corners)).volume)


def pixels_of(labels: Labels) -> dict[int, Points]:
    """The pixels (N, 2) of each label, as row and column."""
    boxes = ndimage.find_objects(labels)
    return {
        number: np.argwhere(labels[box] == number) + [side.start for side in box]
        for number, box in enumerate(boxes, 1)
        if box is not None
    }


def _join(labels: Labels, parts: dict[int, Points], area: float) -> Labels:
    """The labels with neighbours joined that are parts of one cell of about so many pixels."""
    fit = {pair: _fit(parts, pair, area) for pair in find_neighbours(labels)}
    while fit and fit[best := max(fit, key=fit.__getitem__)] > 0:
        one, other = best
        labels[tuple(parts[other].T)] = one
        parts[one] = np.concatenate([parts[one], parts.pop(other)])
        touched = {pair for pair in fit if one in pair or other in pair}
        near = {part for pair in touched for part in pair} - {one, other}
        for pair in touched:
            del fit[pair]
        fit |= {pair: _fit(parts, pair, area) for pair in (_pair(one, part) for part in near)}
    return labels


def _fit(parts: dict[int, Points], pair: Pair, area: float) -> float:
    """The convexity of the union of two parts; 0 if they are no cell together."""
    one, other = (parts[number] for number in pair)
    bit = min(len(one), len(other)) <= BIT * area
    if len(one) + len(other) > LARGEST[bit] * area:
        return 0
    convex = convexity(np.concatenate([one, other]))
    return convex if convex > (CONVEX_BIT if bit else CONVEX) else 0


def find_neighbours(labels: Labels) -> list[Pair]:
    """The labels that touch each other, each pair once."""
    pairs = []
    for a, b in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        border = (a != b) & (a > 0) & (b > 0)
        pairs.append(np.sort(np.stack([a[border], b[border]], 1), 1))
    return [(int(a), int(b)) for a, b in np.unique(np.concatenate(pairs), axis=0)]


def _pair(a: int, b: int) -> Pair:
    return (a, b) if a < b else (b, a)
