"""Image files as squares of pixels, decoded on all cores.

Its worker processes import this module, which therefore does without torch.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from malaria.core.workers import start_pool
from malaria.data.decode import Pixels
from malaria.data.image_files import ImageFile
from malaria.params import Preprocess
from malaria.smear.crops import decode

CHUNK = 128  # images a task, and a forward pass
AHEAD = 4  # tasks queued a process: more would only fill memory


@dataclass(frozen=True)
class Decoded:
    """The names and cells (N, size, size, 3) of the images that could be read, and a line for each that could not."""

    names: list[str]
    cells: Pixels
    broken: list[str]


def decode_files(files: Iterable[ImageFile], how: Preprocess, workers: int) -> Iterator[Decoded]:
    """Decode images, CHUNK at a time: a few of them here, many in worker processes."""
    remaining = iter(files)
    chunks = iter(lambda: list(islice(remaining, CHUNK)), [])
    first = next(chunks, [])
    if len(first) < CHUNK:
        yield _decode_chunk(first, how)
        return
    waiting: deque[Future[Decoded]] = deque()
    with start_pool(workers) as pool:
        for chunk in chain([first], chunks):
            waiting.append(pool.submit(_decode_chunk, chunk, how))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decode_chunk(files: list[ImageFile], how: Preprocess) -> Decoded:
    names, cells, broken = [], [], []
    for file in files:
        try:
            cells.append(decode(file.read(), how))
            names.append(file.name)
        except ValueError as error:
            broken.append(f"{file.name}: {error}")
    return Decoded(names, np.stack(cells) if cells else np.zeros((0, how.size, how.size, 3), np.uint8), broken)
