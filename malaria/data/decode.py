"""From image files to squares of pixels: the one place where a cell is decoded and resized, in training as in use."""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from malaria.core.archive import open_archive
from malaria.core.workers import start_pool
from malaria.params import Fit

Pixels = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")  # Pillow reads more, some of which run programs
MAX_PIXELS = 20_000_000  # of an image; a crop has some 20,000, a whole photograph of a smear 16 million
BLACK = 20  # of 255: what is darker in all channels is background
_CHUNK = 256  # cells a task: long enough to hide the cost of a task, short enough for a smooth progress bar


def decode(data: bytes, size: int, fit: Fit) -> Pixels:
    """Decode an image file and resize it to (size, size, 3) uint8 RGB.

    Raises:
        ValueError: the file is no image, broken or too large; the message says which.
    """
    return to_square(read_image(data), size, fit)


def read_image(data: bytes) -> Image.Image:
    """Decode an image file of FORMATS.

    Raises:
        ValueError: it is no such file, is broken, has several pages, or more than MAX_PIXELS.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:  # before they take memory
                raise ValueError(f"{image.width} x {image.height} pixels are too many; give crops of one cell each")
            if (pages := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":  # a camera's, with a preview
                raise ValueError(f"it has {pages} pages; give one cell a file")
            if image.format == "PNG":
                _verify(data)
            image.load()
            return image
    except Image.DecompressionBombError:  # even more of them
        raise ValueError("its pixels are too many; give crops of one cell each") from None
    except UnidentifiedImageError:
        raise ValueError("not a PNG, JPEG, TIFF, BMP or WebP image") from None
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # whatever a decoder raises on rubbish
        raise ValueError(f"cannot be decoded: {error}") from None


def _verify(data: bytes) -> None:
    """Check the CRC of each chunk of a PNG, which loading does not do for the pixels."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.verify()


def to_square(image: Image.Image, size: int, fit: Fit) -> Pixels:
    """Resize an image to (size, size, 3) uint8 RGB: bilinear with antialiasing, in Pillow's integer arithmetic.

    fit "stretch" ignores the aspect ratio as the notebook did; "pad" keeps it and centres the cell on black.
    """
    image = blacken(to_rgb(image))
    if fit == "stretch":
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    square = Image.new("RGB", (size, size))
    square.paste(image.resize((width, height), Image.Resampling.BILINEAR), ((size - width) // 2, (size - height) // 2))
    return np.asarray(square)


def blacken(image: Image.Image) -> Image.Image:
    """Set nearly black pixels of an RGB image to black: what lossy compression leaves of a black background.

    In the NIH PNGs only the background is that dark.
    """
    red, green, blue = image.split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    dark = brightest.point([255 if 0 < value < BLACK else 0 for value in range(256)])
    if dark.getbbox():
        image.paste((0, 0, 0), mask=dark)
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB, upright as its EXIF says; transparent pixels become black.

    Raises:
        ValueError: its pixels have more than 16 bits.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode == "F" or (image.mode == "I" and image.getextrema()[1] > 65535):  # type: ignore[operator]
        raise ValueError("pixels of more than 16 bits; save it with 8 or 16 a channel")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    return image.convert("RGB")


def is_blank(cell: Pixels) -> bool:
    """Whether the pixels of a cell (size, size, 3) that are not black all have one colour."""
    return all(_has_one_color(part) for part in (cell[len(cell) // 2], cell))  # of most the middle row says no


def _has_one_color(pixels: Pixels) -> bool:
    lit = pixels[pixels.any(-1)]
    return bool((lit == lit[:1]).all())


def decode_archive(
    archive: Path, names: Sequence[str], out: Path, size: int, fit: Fit, workers: int
) -> Iterator[Hashes]:
    """Decode the named images of a zip into the .npy file `out`, uint8 (len(names), size, size, 3).

    Yields a 64-bit hash of each cell's pixels, in order, a chunk at a time. Each task maps its own rows of `out`, so
    that memory does not grow with the number of images.

    Raises:
        OSError: the disk has no room for it.
        ValueError: after all were tried, naming every image that could not be read or is blank.
    """
    np.lib.format.open_memmap(out, mode="w+", dtype=np.uint8, shape=(len(names), size, size, 3))
    _reserve(out)
    starts = range(0, len(names), _CHUNK)
    chunks = [names[start : start + _CHUNK] for start in starts]
    broken: list[str] = []
    with start_pool(workers) as pool:
        decode = partial(_decode_rows, archive, out, size, fit)
        for hashes, problems in pool.map(decode, starts, chunks):
            broken += problems
            yield hashes
    if broken:
        raise ValueError(
            "\n".join(
                [
                    f"{len(broken)} of the images in {archive} cannot be read:",
                    *broken,
                    "Correct or remove these in what it was made from, and run `uv run dvc repro -f download`",
                ]
            )
        )


def _reserve(path: Path) -> None:
    """Allocate the space of a sparse file: on a full disk, writing into a map of it would be a bus error."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _decode_rows(
    archive: Path, out: Path, size: int, fit: Fit, start: int, names: Sequence[str]
) -> tuple[Hashes, list[str]]:
    """Fill the rows from `start` on; return their hashes, and a line for each image that cannot be read."""
    pixels = np.load(out, mmap_mode="r+")
    hashes = np.zeros(len(names), np.uint64)
    broken = []
    for row, name in enumerate(names):
        try:
            cell = decode(open_archive(archive).read(name), size, fit)
            if is_blank(cell):
                raise ValueError("it has a single colour, so no cell is in it")
            pixels[start + row] = cell
            hashes[row] = int.from_bytes(hashlib.blake2b(cell.tobytes(), digest_size=8).digest())
        except MemoryError:
            raise
        except Exception as error:  # whatever zipfile raises on rubbish: the run goes on and ends with the whole list
            broken.append(f"  {name}: {error}")
    return hashes, broken
