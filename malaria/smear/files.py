"""Image files as squares of pixels, one a cell, decoded on all cores: crops of one cell, and photographs of many.

Its worker processes import this module, which therefore does without torch, and without scikit-image until the first
photograph.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from PIL import Image

from malaria.core.workers import start_pool
from malaria.data.decode import Pixels, read_rgb
from malaria.data.image_files import ImageFile
from malaria.data.index import PLACES
from malaria.params import Preprocess
from malaria.smear.crops import is_photograph, refuse_pair, to_cell

if TYPE_CHECKING:
    from malaria.smear.photograph import Photograph

CHUNK = 128  # images a task, and a forward pass
CHUNK_BYTES = 2_000_000  # of the files of a task: so many crops, but one photograph or a few
AHEAD = 4  # tasks queued a process: more would only fill memory

Form = Literal["auto", "photo", "crop"]


@dataclass(frozen=True)
class Decoded:
    """The cells (N, size, size, 3) of some crops or of one photograph, and a line for each image that was not read.

    `table` has a row a cell with the columns image, the name of the file, and PLACES, which are empty for crops.
    """

    table: pd.DataFrame
    cells: Pixels
    broken: list[str]
    images: int  # read, or tried
    file: ImageFile | None = None  # of the photograph, and what was found in it
    found: "Photograph | None" = None


def decode_files(files: Iterable[ImageFile], how: Preprocess, workers: int, form: Form = "auto") -> Iterator[Decoded]:
    """Decode images in their order, a photograph or up to CHUNK crops at a time: a few here, many in worker processes.

    What a file is, is decided by what is in it, or by `form`.
    """
    chunks = _divide(files)
    first = next(chunks, [])
    if (second := next(chunks, None)) is None:
        yield from _decode_chunk(first, how, form)
        return
    waiting: deque[Future[list[Decoded]]] = deque()
    with start_pool(workers) as pool:
        for chunk in chain([first, second], chunks):
            waiting.append(pool.submit(_decode_chunk, chunk, how, form))
            if len(waiting) > AHEAD * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _divide(files: Iterable[ImageFile]) -> Iterator[list[ImageFile]]:
    """The files in parts of at most CHUNK, and about CHUNK_BYTES."""
    part: list[ImageFile] = []
    size = 0
    for file in files:
        part.append(file)
        size += file.size
        if len(part) == CHUNK or size >= CHUNK_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _decode_chunk(files: list[ImageFile], how: Preprocess, form: Form) -> list[Decoded]:
    """The photographs of some files, and the crops between them."""
    decoded: list[Decoded] = []
    crops: list[tuple[str, Pixels]] = []
    broken: list[str] = []
    for file in files:
        try:
            image = read_rgb(file.read())
            if form == "photo" or (form == "auto" and is_photograph(image)):
                decoded += [*_pack_crops(crops, broken, how), _decode_photograph(file, image, how)]
                crops, broken = [], []
            else:
                cell = to_cell(image, how)
                refuse_pair(image, how)
                crops.append((file.name, cell))
        except ValueError as error:
            broken.append(f"{file.name}: {error}")
    return decoded + _pack_crops(crops, broken, how)


def _decode_photograph(file: ImageFile, image: Image.Image, how: Preprocess) -> Decoded:
    from malaria.smear.cells import cut_squares, tabulate_places
    from malaria.smear.photograph import find_cells

    found = find_cells(image)
    table = tabulate_places(found)
    table.insert(0, "image", file.name)
    return Decoded(table, cut_squares(image, found, how), [], 1, file, found)


def _pack_crops(crops: list[tuple[str, Pixels]], broken: list[str], how: Preprocess) -> list[Decoded]:
    """One Decoded, none if there was nothing to decode."""
    if not crops and not broken:
        return []
    table = pd.DataFrame({"image": [name for name, _ in crops]}, columns=["image", *PLACES]).fillna("")
    cells = np.stack([cell for _, cell in crops]) if crops else np.zeros((0, how.size, how.size, 3), np.uint8)
    return [Decoded(table, cells, broken, len(crops) + len(broken))]
