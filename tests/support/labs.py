"""A lab with its worker process, on drawn photographs and crops."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from malaria.lab.lab import Lab
from malaria.predict.load import load_model
from malaria.smear.crops import decode
from malaria.sources.drawing.fields import draw_field
from malaria.sources.drawing.png import encode_png
from tests.support.models import make_model
from tests.support.photographs import LAB


def make_lab_model(folder: Path, drawn: list[tuple[str, bytes]]) -> Path:
    """Random weights, whose threshold parts the drawn cells; no call is uncertain."""
    make_model(folder)
    untuned = load_model(folder)
    squares = np.stack([decode(data, untuned.card.preprocess) for _, data in drawn])
    middle = float(np.median(untuned.score(squares)[0]))
    return make_model(folder, threshold=middle, operating_points={"default": middle}, abstain=0.0)


def draw_photographs(number: int) -> dict[str, bytes]:
    """Drawn photographs as PNG, by name: IMG_1.png and so on."""
    fields = [draw_field(replace(LAB, radius=20), seed, 25, 0.4, 640, 480) for seed in range(1, number + 1)]
    return {f"IMG_{n}.png": encode_png(field.pixels) for n, field in enumerate(fields, start=1)}


@contextmanager
def opened(folder: Path, model: Path, process: bool = False) -> Iterator[tuple[Lab, Callable[[], None]]]:
    """A lab in an event loop, and a function that waits until it has nothing to do.

    Its worker is a thread, unless a process is asked for: that takes seconds to start.
    """
    loop = asyncio.new_event_loop()
    lab = Lab(folder, str(model))
    if not process:
        lab._pool = ThreadPoolExecutor(1)  # type: ignore[assignment]

    async def idle() -> None:
        while lab.busy:
            await asyncio.sleep(0.02)

    async def start() -> None:
        lab.start()

    def wait() -> None:
        loop.run_until_complete(asyncio.wait_for(idle(), 120))

    try:
        lab.load()
        loop.run_until_complete(start())
        yield lab, wait
    finally:
        lab.stop()
        loop.close()
