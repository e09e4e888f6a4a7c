"""The red cells of a photograph as rows of a table, and as the squares that the network sees."""

import io

import numpy as np
import pandas as pd
from PIL import Image

from malaria.data.decode import Pixels, to_square
from malaria.data.index import PLACES
from malaria.params import Preprocess
from malaria.smear.photograph import Photograph, RedCell, cut_out
from malaria.smear.scale import estimate_scale

COUNTED = "single", "clumped"  # kinds of cells that count; what the border cuts may be seen only in part
ONE_CELL = 0.4  # of the shorter side: in a crop, however large, a cell is wider than this


def has_many_cells(image: Image.Image) -> bool:
    """Whether a large RGB image is of a field of cells, and not of one cell.

    Where its cells are too few to tell, it counts as a field, in which no cell is found: an empty round field on black
    looks like a cell that is cut out.
    """
    scale = estimate_scale(image)
    return scale is None or scale.diameter < ONE_CELL * min(image.size)


def cut_squares(image: Image.Image, found: Photograph, how: Preprocess) -> Pixels:
    """The red cells of an RGB photograph as the network sees them, (N, size, size, 3): all but the cell is black.

    They are cut out already, so `how.mask` does not matter.
    """
    squares = [to_square(cut_out(image, cell), how.size, how.fit) for cell in found.cells]
    return np.stack(squares) if squares else np.zeros((0, how.size, how.size, 3), np.uint8)


def encode_cell(image: Image.Image, cell: RedCell) -> bytes:
    """A red cell of an RGB photograph, cut out, as a PNG."""
    file = io.BytesIO()
    cut_out(image, cell).save(file, "PNG", compress_level=6)
    return file.getvalue()


def tabulate_places(found: Photograph) -> pd.DataFrame:
    """A row a red cell with the columns PLACES: a number from 1, its box (px), how it lies, and its mask's quality."""
    rows = [
        (number, cell.x, cell.y, cell.mask.shape[1], cell.mask.shape[0], cell.kind, cell.quality)
        for number, cell in enumerate(found.cells, start=1)
    ]
    types = dict.fromkeys(PLACES[:5], int) | {"mask_quality": float}
    return pd.DataFrame(rows, columns=PLACES).astype(types)
