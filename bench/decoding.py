"""How close is preprocess to bare decoding? `uv run --with opencv-python-headless python bench/decoding.py`

Decodes data/cells.zip as preprocess does, resizing and writing the array, and only decodes it, in as many processes, by
turns; prints the ratio of the two. Then compares decoders on one core: which give the pixels that Pillow gives, and how
many times as fast. OpenCV is compared where it is installed.
"""

import io
import tempfile
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from PIL import Image

from bench.timing import by_turns
from malaria.core.workers import count_cores, start_pool
from malaria.data.decode import Pixels
from malaria.data.index import read_index
from malaria.params import Preprocess
from malaria.smear.archive import decode_archive

CELLS, INDEX = Path("data/cells.zip"), Path("data/cells.csv")
TURNS, SAMPLE = 3, 2000
HOW = Preprocess(size=64, fit="stretch", mask="auto", unsegmented="drop")


def by_pillow(png: bytes) -> Pixels:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def by_torchvision(png: bytes) -> Pixels:
    import torch  # here, since the worker processes import this module too, and torch takes seconds
    from torchvision.io import ImageReadMode, decode_png

    torch.set_num_threads(1)
    return decode_png(torch.frombuffer(bytearray(png), dtype=torch.uint8), ImageReadMode.RGB).permute(1, 2, 0).numpy()


def by_opencv(png: bytes) -> Pixels:
    import cv2  # here, since it may not be installed

    return cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def decode_all(names: list[str]) -> None:
    with ZipFile(CELLS) as archive:
        for name in names:
            by_pillow(archive.read(name))


def bare(names: list[str]) -> None:
    """Decode, each core a part of the cells."""
    with start_pool(count_cores()) as pool:
        list(pool.map(decode_all, [names[core :: count_cores()] for core in range(count_cores())]))


def preprocess(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        list(decode_archive(CELLS, names, Path(folder) / "cells.npy", HOW, count_cores()))


def compare_decoders(names: list[str]) -> None:
    with ZipFile(CELLS) as archive:
        pngs = [archive.read(name) for name in names]
    works, same = {}, {}
    for decode in (by_pillow, by_torchvision, by_opencv):
        try:
            same[decode.__name__] = all(np.array_equal(decode(png), by_pillow(png)) for png in pngs)
            works[decode.__name__] = lambda decode=decode: [decode(png) for png in pngs]
        except ImportError as error:
            print(f"{decode.__name__:<16}{error}")
    times = {name: min(taken) for name, taken in by_turns(works, TURNS).items()}
    for name, took in times.items():
        ratio = times["by_pillow"] / took
        print(f"{name:<16}{1e3 * took / len(pngs):.3f} ms a cell, {ratio:.2f} times, same={same[name]}")


def main() -> None:
    names = read_index(INDEX).name.tolist()
    times = by_turns({"preprocess": lambda: preprocess(names), "bare": lambda: bare(names)}, TURNS)
    ours, least = min(times["preprocess"]), min(times["bare"])
    print(f"{len(names)} cells on {count_cores()} cores: preprocess {ours:.1f} s, bare decoding {least:.1f} s")
    print(f"ratio: {ours / least:.2f}")
    compare_decoders(names[:: max(1, len(names) // SAMPLE)])


if __name__ == "__main__":
    main()
