"""From a photograph of a thin smear to its red cells."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise, product
from typing import NamedTuple, cast

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from malaria.smear.bodies import Body, Kind, Other, describe_bodies
from malaria.smear.light import Floats, Mask, find_field, optical_density
from malaria.smear.mask import apply_mask
from malaria.smear.scale import SIDE, estimate_scale, resize
from malaria.smear.segment import Scale, segment
from malaria.smear.split import Labels

Box = tuple[int, int, int, int]  # left, top, right, bottom, px

WORKING_DIAMETER = 40  # px of a cell, at which a photograph is segmented
TILE = 2000  # px at that scale, of what is segmented at once
OTHERS: tuple[Other, ...] = ("small", "dense", "clump")


@dataclass(frozen=True)
class RedCell:
    """A red cell of a photograph: the place of its box (px), its mask (height, width), and how it lies.

    `kind` is border where the frame or the edge of the field cuts it, clumped where it touches another, else single.
    `quality` is the convexity of the mask, 0 to 1: low where it is of two cells or of a part of one.
    """

    x: int
    y: int
    mask: Mask
    kind: Kind
    quality: float

    @property
    def box(self) -> Box:
        """Left, top, right and bottom, as Pillow's crop takes them."""
        height, width = self.mask.shape
        return self.x, self.y, self.x + width, self.y + height


@dataclass(frozen=True)
class Photograph:
    """The red cells of a photograph, how many other bodies there are of each kind, and what its quality is judged by.

    `diameter` is of a typical red cell, px, None where there are too few to tell it; `light` the brightness of the
    background, 0 to 255; `covered` the share of the field that lies under cells; `sharpness` how steep outlines are:
    the change of density over a tenth of a diameter, relative to the density of a typical cell.
    """

    cells: list[RedCell]
    others: Counter[str]
    diameter: float | None
    light: float
    covered: float
    sharpness: float


class _Tile(NamedTuple):
    """A part of a photograph, and in it the core, which no other tile's core overlaps."""

    box: Box
    core: Box


def find_cells(image: Image.Image) -> Photograph:
    """The red cells of an RGB photograph, from top to bottom."""
    factor = min(1.0, SIDE / max(image.size))
    small = np.asarray(resize(image, factor))
    field = find_field(small)
    light = float(np.percentile(small[field].max(-1), 90)) if field.any() else 0.0
    scale = estimate_scale(image)
    if scale is None:
        return Photograph([], Counter(), None, light, 0.0, 0.0)
    tiles = list(_lay_tiles(image.size, scale.diameter))
    parts = [_segment_tile(image, field, scale, tile) for tile in tiles]
    cells = sorted((cell for part in parts for cell in part[0]), key=lambda cell: (cell.y, cell.x))
    covered = sum(int(cell.mask.sum()) for cell in cells) * factor**2 / field.sum()
    sharpness = np.nanmedian([part[2] for part in parts]) if cells else 0.0
    return Photograph(
        cells,
        Counter(chain.from_iterable(part[1] for part in parts)),
        scale.diameter,
        light,
        float(covered),
        float(sharpness),
    )


def cut_out(image: Image.Image, cell: RedCell) -> Image.Image:
    """A cell of an RGB photograph, all else black, as NIH's crops are.

    A frame of one px says so: of a cell with straight sides too little of the border might be black.
    """
    return ImageOps.expand(apply_mask(image.crop(cell.box), cell.mask), 1)


def _lay_tiles(size: tuple[int, int], diameter: float) -> Iterator[_Tile]:
    """Tiles about TILE px wide at the working scale, that overlap by two diameters on each side of their cores."""
    margin, step = round(2 * diameter), TILE * max(1.0, diameter / WORKING_DIAMETER)
    lefts, tops = (_divide(side, max(1, round(side / step))) for side in size)
    for (top, bottom), (left, right) in product(pairwise(tops), pairwise(lefts)):
        box = max(0, left - margin), max(0, top - margin), min(right + margin, size[0]), min(bottom + margin, size[1])
        yield _Tile(box, (left, top, right, bottom))


def _divide(side: int, parts: int) -> list[int]:
    return [round(side * at / parts) for at in range(parts + 1)]


def _segment_tile(image: Image.Image, field: Mask, scale: Scale, tile: _Tile) -> tuple[list[RedCell], list[str], float]:
    """The red cells whose centres are in the core of a tile, the kinds of its other bodies, and its sharpness."""
    factor = min(1.0, WORKING_DIAMETER / scale.diameter)
    pixels = np.asarray(resize(image.crop(tile.box), factor))
    inside = _crop_field(field, image.size, tile.box, pixels.shape)
    density = optical_density(pixels, inside, scale.diameter * factor)
    labels, area = segment(density, inside, scale._replace(diameter=scale.diameter * factor))
    cells: list[RedCell] = []
    others: list[str] = []
    for body in describe_bodies(labels, density, area, _find_edge(inside, tile.box, image.size)):
        if not _is_in_core(body, tile, factor):
            continue
        if body.kind in OTHERS:
            others.append(body.kind)
        else:
            cells.append(_to_cell(body, tile, factor, image.size))
    return cells, others, _measure_sharpness(density, labels, scale.diameter * factor)


def _crop_field(field: Mask, size: tuple[int, int], box: Box, shape: tuple[int, ...]) -> Mask:
    """The field of a whole photograph of that size (px), in a box of it, at another resolution (H, W)."""
    width, height = field.shape[1] / size[0], field.shape[0] / size[1]
    part = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    cropped = Image.fromarray(field).resize((shape[1], shape[0]), Image.Resampling.NEAREST, box=part)
    inside: Mask = np.asarray(cropped)
    return inside


def _find_edge(field: Mask, box: Box, size: tuple[int, int]) -> Mask:
    """The pixels (H, W) of a tile along the frame of a photograph of that size (px) or around its field."""
    edge = np.zeros(field.shape, bool)
    edge[0], edge[-1], edge[:, 0], edge[:, -1] = box[1] == 0, box[3] == size[1], box[0] == 0, box[2] == size[0]
    edge |= ~ndimage.binary_erosion(field, iterations=2, border_value=1)
    return edge


def _is_in_core(body: Body, tile: _Tile, factor: float) -> bool:
    y, x = (body.points.min(0) + body.points.max(0) + 1) / 2 / factor + [tile.box[1], tile.box[0]]
    return bool(tile.core[0] <= x < tile.core[2] and tile.core[1] <= y < tile.core[3])


def _to_cell(body: Body, tile: _Tile, factor: float, limit: tuple[int, int]) -> RedCell:
    """A body in px of a photograph of that size, its outline smoothed."""
    first = body.points.min(0) - 1
    mask = np.zeros(body.points.max(0) - first + 2, np.uint8)
    mask[tuple((body.points - first).T)] = 255
    width, height = (round(side / factor) for side in mask.shape[::-1])
    large = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR)) >= 128
    top, left = np.round(first / factor).astype(int) + np.array([tile.box[1], tile.box[0]])
    large = large[: limit[1] - top, : limit[0] - left]  # rounded, it may reach a pixel beyond the frame
    rows, columns = np.flatnonzero(large.any(1)), np.flatnonzero(large.any(0))
    mask = large[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return RedCell(int(left + columns[0]), int(top + rows[0]), mask, cast(Kind, body.kind), round(body.convexity, 3))


def _measure_sharpness(density: Floats, labels: Labels, diameter: float) -> float:
    """The change of density over a tenth of a diameter (px) on the outlines, relative to a typical cell's density."""
    if not labels.any():
        return math.nan
    cells = labels > 0
    outline = cells & ~ndimage.binary_erosion(cells)
    steepness = ndimage.gaussian_gradient_magnitude(density, 1)[outline]
    return float(np.median(steepness) * diameter / 10 / np.median(density[cells]))
