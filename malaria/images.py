"""From image files to squares of pixels: the one place where a cell is decoded and resized."""

import hashlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from malaria.processes import start_pool

Pixels = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")  # that are tried; Pillow knows more, some of them programs in disguise
MOST_PIXELS = 20_000_000  # of an image; a crop has some 20,000, a whole photograph of a smear 16 million
BLACK = 20  # of 255: what is darker in all channels is background
_CHUNK = 256  # cells a task: long enough to hide the cost of a task, short enough for a smooth progress bar


def decode(data: bytes, size: int, fit: str) -> Pixels:
    """An image file as (size, size, 3) uint8 RGB: the one way of each cell, in training as in prediction.

    Raises:
        ValueError: in words, whatever is wrong with the file.
    """
    return to_square(read_image(data), size, fit)


def read_image(data: bytes) -> Image.Image:
    """An image file of FORMATS, decoded.

    Raises:
        ValueError: it is none, is broken, has several pages, or more than MOST_PIXELS.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:  # before they take memory
                raise ValueError(f"{image.width} x {image.height} pixels are too many; give crops of one cell each")
            if (pages := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":  # a camera's, with a preview
                raise ValueError(f"it has {pages} pages; give one cell a file")
            image.load()
            if image.format == "PNG":
                _check_png(data)
            return image
    except Image.DecompressionBombError:  # even more of them
        raise ValueError("its pixels are too many; give crops of one cell each") from None
    except UnidentifiedImageError:
        raise ValueError("not a PNG, JPEG, TIFF, BMP or WebP image") from None
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # whatever a decoder raises on rubbish
        raise ValueError(f"cannot be decoded: {error}") from None


def _check_png(data: bytes) -> None:
    """Refuse a PNG whose chunks are not as they were written: Pillow passes over the sums of the pixels'."""
    at, kind = len(b"\x89PNG\r\n\x1a\n"), b""
    while kind != b"IEND" and at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if kind[:1].isupper() and data[end : end + 4] != zlib.crc32(data[at + 4 : end]).to_bytes(4):
            raise ValueError(f"a damaged PNG: wrong CRC of its {kind.decode('latin-1')}")
        at = end + 4


def to_square(image: Image.Image, size: int, fit: str) -> Pixels:
    """Resize a picture to (size, size, 3) uint8 RGB; bilinear with antialiasing, in Pillow's integer arithmetic.

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
    """An RGB picture with its nearly black pixels black, as what a lossy format has left of a black background.

    In the PNGs of the data set no pixel is that dark but the background.
    """
    red, green, blue = image.split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    dark = brightest.point([255 if 0 < value < BLACK else 0 for value in range(256)])
    if dark.getbbox():
        image.paste((0, 0, 0), mask=dark)
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """A picture of any mode in 8-bit RGB, upright as its EXIF says; what is transparent becomes black, as background.

    Raises:
        ValueError: its pixels are no bytes and no 16-bit numbers.
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
    """Whether all of a cell (size, size, 3) that is not black has one colour, as in no picture of a cell."""
    return all(_has_one_color(part) for part in (cell[len(cell) // 2], cell))  # of most the middle row says no


def _has_one_color(pixels: Pixels) -> bool:
    lit = pixels[pixels.any(-1)]
    return bool((lit == lit[:1]).all())


def decode_archive(
    archive: Path, names: Sequence[str], out: Path, size: int, fit: str, workers: int
) -> Iterator[Hashes]:
    """Decode the named images of a zip into out, uint8 (len(names), size, size, 3).

    Yields a hash of each cell's pixels in out, in their order, as many as each step did. Each task opens its own rows
    of the map and lets go of them, so memory does not grow with the images, but for the 8 bytes of their hashes.

    Raises:
        OSError: there is no room for it on the disk.
        ValueError: after all were tried, naming every image that could not be read or is blank; out is then not whole.
    """
    np.lib.format.open_memmap(out, mode="w+", dtype=np.uint8, shape=(len(names), size, size, 3))
    _reserve(out)
    starts = range(0, len(names), _CHUNK)
    chunks = [names[start : start + _CHUNK] for start in starts]
    broken: list[str] = []
    with start_pool(workers) as pool:
        decode = partial(_decode_rows, archive, out, size, fit)
        for hashes, complaints in pool.map(decode, starts, chunks):
            broken += complaints
            yield hashes
    if broken:
        raise ValueError(
            "\n".join(
                [
                    f"{len(broken)} of the images in {archive} are no cells that can be read:",
                    *broken,
                    "Put right or leave out these in what it was made from, and run `uv run dvc repro -f download`",
                ]
            )
        )


def _reserve(path: Path) -> None:
    """Take the space that a sparse file claims: on a full disk writing into a map of it would be a bus error."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _decode_rows(
    archive: Path, out: Path, size: int, fit: str, start: int, names: Sequence[str]
) -> tuple[Hashes, list[str]]:
    """Fill the rows from start on; returns their hashes, and one line for each image that is no cell."""
    pixels = np.load(out, mmap_mode="r+")
    hashes = np.zeros(len(names), np.uint64)
    broken = []
    for row, name in enumerate(names):
        try:
            cell = decode(opened(archive).read(name), size, fit)
            if is_blank(cell):
                raise ValueError("all of it has one colour, so there is no cell in it")
            pixels[start + row] = cell
            hashes[row] = int.from_bytes(hashlib.blake2b(cell.tobytes(), digest_size=8).digest())
        except MemoryError:
            raise
        except Exception as error:  # whatever zipfile raises on rubbish: the run goes on and ends with the whole list
            broken.append(f"  {name}: {error}")
    return hashes, broken


def opened(archive: Path) -> zipfile.ZipFile:
    """The archive, opened once a process: reading its directory of 27,558 names takes 0.3 s."""
    return _open(archive, os.getpid())  # after a fork anew, or two processes would move one place in the file


@lru_cache(maxsize=8)
def _open(archive: Path, process: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(archive)
