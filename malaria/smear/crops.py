"""From an image of one cell to the square of pixels that the network sees, in training as in prediction."""

from PIL import Image

from malaria.data.decode import Pixels, read_rgb, to_rgb, to_square
from malaria.params import Mask, Preprocess
from malaria.smear.mask import cut_out, is_cut_out, is_pair

NO_CELL = "no single red blood cell found in its middle"
LARGEST = 400  # px, of the shorter side of a crop: NIH's have up to 394; the smallest photograph of a field has 480


def decode(data: bytes, how: Preprocess) -> Pixels:
    """Decode an image file to a square (size, size, 3) uint8 RGB.

    Raises:
        ValueError: the file is no image, broken or too large, a photograph of many cells, or `to_cell` refuses it; the
            message says which.
    """
    image = read_rgb(data)
    refuse_photograph(image)
    return to_cell(image, how)


def refuse_photograph(image: Image.Image) -> None:
    """Raise ValueError if an RGB image is of many cells: of a whole field a classifier of one cell knows nothing."""
    if is_photograph(image):
        raise ValueError("a photograph of many cells; `malaria predict` finds and counts them")


def refuse_pair(image: Image.Image, how: Preprocess) -> None:
    """Raise ValueError if an RGB image is a crop that is cut out around two cells that touch.

    Not a part of `to_cell`: some of NIH's labelled crops are such, and the benchmark keeps all of them.
    """
    if how.mask == "auto" and how.unsegmented == "drop" and is_cut_out(image) and is_pair(image):
        raise ValueError("two cells that touch, it seems; cut them apart, or predict the photograph itself")


def is_photograph(image: Image.Image) -> bool:
    """Whether an RGB image is of a field of cells, and not of one cell."""
    if min(image.size) < LARGEST:
        return False
    from malaria.smear.cells import has_many_cells  # brings scikit-image, which takes a second to import

    return has_many_cells(image)


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
