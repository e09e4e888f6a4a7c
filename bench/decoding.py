"""How near is preprocess to bare decoding? `uv run --with opencv-python-headless python bench/decoding.py`

Decodes data/cells.zip as preprocess does, resizing and writing the array, and only decodes, in as many processes, by
turns; prints the ratio of the two. Then compares decoders on one core: which give the pixels that Pillow gives, and how
many times as fast. OpenCV is compared where it is installed.
"""

import io
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_png

from malaria.core.archive import cell_names
from malaria.core.workers import count_cores
from malaria.data.decode import decode_archive

CELLS = Path("data/cells.zip")
TURNS, SAMPLE = 3, 2000

Pixels = npt.NDArray[np.uint8]


def by_pillow(png: bytes) -> Pixels:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def by_torchvision(png: bytes) -> Pixels:
    return decode_png(torch.frombuffer(bytearray(png), dtype=torch.uint8), ImageReadMode.RGB).permute(1, 2, 0).numpy()


def by_opencv(png: bytes) -> Pixels:
    import cv2

    return cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def decode_all(names: list[str]) -> None:
    with ZipFile(CELLS) as archive:
        for name in names:
            by_pillow(archive.read(name))


def bare(names: list[str]) -> None:
    """Decoding alone, each core a part of the cells."""
    with ProcessPoolExecutor(count_cores()) as pool:
        list(pool.map(decode_all, [names[core :: count_cores()] for core in range(count_cores())]))


def preprocess(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        list(decode_archive(CELLS, names, Path(folder) / "cells.npy", 64, "stretch", count_cores()))


def seconds(work: Callable[[list[str]], None], names: list[str]) -> float:
    began = time.perf_counter()
    work(names)
    return time.perf_counter() - began


def compare_decoders(names: list[str]) -> None:
    with ZipFile(CELLS) as archive:
        pngs = [archive.read(name) for name in names]
    pillow = 0.0
    for decode in (by_pillow, by_torchvision, by_opencv):
        try:
            same = all(np.array_equal(decode(png), by_pillow(png)) for png in pngs)
        except ImportError as error:
            print(f"{decode.__name__:<16}{error}")
            continue
        took = min(seconds(lambda _, d=decode: [d(png) for png in pngs], []) for _ in range(TURNS))
        pillow = pillow or took
        print(f"{decode.__name__:<16}{1e3 * took / len(pngs):.3f} ms a cell, {pillow / took:.2f} times, {same=}")


def main() -> None:
    names = cell_names(CELLS)
    turns = [(seconds(preprocess, names), seconds(bare, names)) for _ in range(TURNS)]
    ours, least = (min(side) for side in zip(*turns, strict=True))
    print(f"{len(names)} cells on {count_cores()} cores: preprocess {ours:.1f} s, bare decoding {least:.1f} s")
    print(f"ratio: {ours / least:.2f}")
    torch.set_num_threads(1)
    compare_decoders(names[:: len(names) // SAMPLE])


if __name__ == "__main__":
    main()
