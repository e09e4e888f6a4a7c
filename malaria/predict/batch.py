"""Predict any number of images: decoded on all cores, in memory that does not grow with their number."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import pandas as pd

from malaria.core.workers import start_pool
from malaria.data.decode import Pixels, decode
from malaria.data.image_files import ImageFile
from malaria.params import Fit
from malaria.predict.classifier import Classifier

CHUNK = 128  # images a task, and a forward pass
AHEAD = 4  # tasks queued a process: more would only fill memory


@dataclass(frozen=True)
class Decoded:
    """The names and cells (N, size, size, 3) of the images that could be read, and a line for each that could not."""

    names: list[str]
    cells: Pixels
    broken: list[str]


def predict_files(
    files: Iterable[ImageFile], classifier: Classifier, threshold: float | None, workers: int
) -> Iterator[tuple[pd.DataFrame, list[str]]]:
    """Predict images in their order, a chunk at a time.

    Yields a table, image and the columns of `Classifier.decide`, and a line for each image that could not be read.
    """
    size, fit = classifier.card.size, classifier.card.fit
    for decoded in decode_files(files, size, fit, workers):
        table = classifier.predict_cells(decoded.cells, threshold)
        table.insert(0, "image", decoded.names)
        yield table, decoded.broken


def decode_files(files: Iterable[ImageFile], size: int, fit: Fit, workers: int) -> Iterator[Decoded]:
    """Decode images, CHUNK at a time: a few of them here, many in worker processes."""
    remaining = iter(files)
    chunks = iter(lambda: list(islice(remaining, CHUNK)), [])
    first = next(chunks, [])
    if len(first) < CHUNK:
        yield _decode_chunk(first, size, fit)
        return
    waiting: deque[Future[Decoded]] = deque()
    with start_pool(workers) as pool:
        for chunk in chain([first], chunks):
            waiting.append(pool.submit(_decode_chunk, chunk, size, fit))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decode_chunk(files: list[ImageFile], size: int, fit: Fit) -> Decoded:
    names, cells, broken = [], [], []
    for file in files:
        try:
            cells.append(decode(file.read(), size, fit))
            names.append(file.name)
        except ValueError as error:
            broken.append(f"{file.name}: {error}")
    return Decoded(names, np.stack(cells) if cells else np.zeros((0, size, size, 3), np.uint8), broken)
