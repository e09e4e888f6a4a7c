"""The images of data/cells.zip as an array of squares, decoded on all cores."""

import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np

from malaria.core.archive import open_archive
from malaria.core.hashing import Hashes, hash_array
from malaria.core.workers import start_pool
from malaria.data.decode import read_rgb, to_square
from malaria.params import Preprocess
from malaria.smear.crops import is_blank, isolate

_CHUNK = 256  # cells a task: long enough to hide the cost of a task, short enough for a smooth progress bar


def decode_archive(
    archive: Path, names: Sequence[str], out: Path, how: Preprocess, workers: int
) -> Iterator[tuple[Hashes, list[str]]]:
    """Decode the named images of a zip into the .npy file `out`, uint8 (len(names), size, size, 3).

    Yields a chunk at a time, in order, a hash of each cell's pixels, and the names of those in which no cell was found,
    whose rows hold the whole image. Each task maps its own rows of `out`, so that memory does not grow with the number
    of images. One worker is this process.

    Raises:
        OSError: the disk has no room for it.
        ValueError: after all were tried, naming every image that could not be read or is blank.
    """
    np.lib.format.open_memmap(out, mode="w+", dtype=np.uint8, shape=(len(names), how.size, how.size, 3))
    _reserve(out)
    starts = range(0, len(names), _CHUNK)
    chunks = [names[start : start + _CHUNK] for start in starts]
    broken: list[str] = []
    with start_pool(workers) if workers > 1 else nullcontext() as pool:
        decode = partial(_decode_rows, archive, out, how)
        for hashes, unsegmented, problems in (pool.map if pool else map)(decode, starts, chunks):
            broken += problems
            yield hashes, unsegmented
    if broken:
        raise ValueError("\n".join([f"{len(broken)} images cannot be read; correct or remove them:", *broken]))


def _reserve(path: Path) -> None:
    """Allocate the space of a sparse file: on a full disk, writing into a map of it would be a bus error."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _decode_rows(
    archive: Path, out: Path, how: Preprocess, start: int, names: Sequence[str]
) -> tuple[Hashes, list[str], list[str]]:
    """Fill the rows from `start` on; return their hashes, the names of images without a cell, and a line for each that
    cannot be read.
    """
    pixels = np.load(out, mmap_mode="r+")
    hashes = np.zeros(len(names), np.uint64)
    unsegmented, broken = [], []
    for row, name in enumerate(names):
        try:
            image, found = isolate(read_rgb(open_archive(archive).read(name)), how.mask)
            cell = to_square(image, how.size, how.fit)
            if is_blank(cell):
                raise ValueError("it has a single colour, so no cell is in it")
            pixels[start + row], hashes[row] = cell, hash_array(cell)
            unsegmented += [] if found else [name]
        except MemoryError:
            raise
        except Exception as error:  # whatever zipfile raises on rubbish: the run goes on and ends with the whole list
            broken.append(f"  {name}: {error}")
    return hashes, unsegmented, broken
