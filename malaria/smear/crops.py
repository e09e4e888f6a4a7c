"""From an image of one cell to the square of pixels that the network sees, in training as in prediction."""

from PIL import Image

from malaria.data.decode import Pixels, read_image, to_rgb, to_square
from malaria.params import Mask, Preprocess
from malaria.smear.mask import cut_out

NO_CELL = "no red blood cell found in its middle"


def decode(data: bytes, how: Preprocess) -> Pixels:
    """Decode an image file to a square (size, size, 3) uint8 RGB.

    Raises:
        ValueError: the file is no image, broken or too large, or `to_cell` refuses it; the message says which.
    """
    return to_cell(read_image(data), how)


def to_cell(image: Image.Image, how: Preprocess) -> Pixels:
    """The square (size, size, 3) uint8 RGB of an image.

    Raises:
        ValueError: no cell is found in it, and `how.unsegmented` is "drop".
    """
    cell, found = isolate(image, how.mask)
    if not found and how.unsegmented == "drop":
        raise ValueError(NO_CELL)
    return to_square(cell, how.size, how.fit)


def isolate(image: Image.Image, mask: Mask) -> tuple[Image.Image, bool]:
    """The image as RGB, with all but its cell black where `mask` is "auto"; and whether a cell was found.

    Where none was, the image comes back whole.
    """
    image = to_rgb(image)
    cell = cut_out(image) if mask == "auto" else image
    return (image, False) if cell is None else (cell, True)


def is_blank(cell: Pixels) -> bool:
    """Whether the pixels of a cell (size, size, 3) that are not black all have one colour."""
    return all(_has_one_color(part) for part in (cell[len(cell) // 2], cell))  # of most the middle row says no


def _has_one_color(pixels: Pixels) -> bool:
    lit = pixels[pixels.any(-1)]
    return bool((lit == lit[:1]).all())
