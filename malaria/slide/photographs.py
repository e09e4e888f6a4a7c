"""From a photograph of a smear to its red cells, each called by a model."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from malaria.data.decode import Pixels, read_rgb
from malaria.data.index import CLASSES
from malaria.smear.cells import COUNTED
from malaria.smear.files import Decoded
from malaria.smear.light import find_field
from malaria.smear.photograph import Photograph
from malaria.smear.scale import SIDE, resize

PARASITIZED = CLASSES[1]


@dataclass(frozen=True)
class CalledPhotograph:
    """A photograph, upright RGB, what was found in it, and a row a red cell, in the order of `found.cells`.

    The columns of `table` are cell (a number from 1), x, y, width, height (its box, px), kind (single, clumped or
    border), mask_quality (0 to 1), and those of `Classifier.decide`. `pixels` (N, size, size, 3) is what the network
    saw of each.
    """

    image: Image.Image
    found: Photograph
    table: pd.DataFrame
    pixels: Pixels

    @cached_property
    def counted(self) -> pd.DataFrame:
        """The rows of cells that count for the parasitemia: all but those at the border."""
        return self.table[self.table.kind.isin(COUNTED)]


def reopen(predicted: Decoded) -> CalledPhotograph:
    """What `predict_files` yields of a photograph, which it read in another process, with its pixels.

    Raises:
        ValueError: the file cannot be read any more.
    """
    assert predicted.file
    assert predicted.found
    image = read_rgb(predicted.file.read())
    return CalledPhotograph(image, predicted.found, predicted.table, predicted.cells)


def crop_to_field(photograph: CalledPhotograph) -> CalledPhotograph:
    """The part of a photograph in which there is light: a round field fills but half of its frame."""
    image, found, table = photograph.image, photograph.found, photograph.table
    factor = min(1.0, SIDE / max(image.size))
    field = find_field(np.asarray(resize(image, factor)))
    if not field.any():
        return photograph
    top, bottom = _find_span(np.nonzero(field)[0], factor)
    left, right = _find_span(np.nonzero(field)[1], factor)
    cells = [replace(cell, x=cell.x - left, y=cell.y - top) for cell in found.cells]
    return replace(
        photograph,
        image=image.crop((left, top, min(right, image.width), min(bottom, image.height))),
        found=replace(found, cells=cells),
        table=table.assign(x=table.x - left, y=table.y - top),
    )


def _find_span(places: npt.NDArray[np.intp], factor: float) -> tuple[int, int]:
    """The first and past the last of the rows or columns (N,), in px before scaling."""
    return int(places.min() / factor), math.ceil((places.max() + 1) / factor)
