"""What is kept of a slide's photographs, one after the other: counts, small pictures, and the cells to be looked at."""

import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from malaria.data.decode import Pixels
from malaria.evaluation.calibration import certainty
from malaria.slide.overlay import draw_overlay
from malaria.slide.photographs import PARASITIZED, CalledPhotograph, crop_to_field
from malaria.slide.quality import Problem, check_quality

QUALITY = 80  # of JPEGs
MAX_EXAMPLES = 200  # cells of each gallery
PICTURE = 128  # px, of a cell's picture
MARGIN = 1.3  # times a cell's longer side is that of its picture, so that its neighbours are seen


class Example(NamedTuple):
    """A cell of a gallery: its place in the pictures, and what it takes to explain its call."""

    photograph: int  # from 1
    cell: int  # its number in the photograph, from 1
    at: tuple[float, float]  # its middle in the photograph's overlay, relative to its sides
    probability: float
    prediction: str
    ood: str  # the image statistic that is most extreme, if the cell is out of distribution
    picture: Image.Image  # (PICTURE, PICTURE) RGB, with its surroundings
    box: tuple[float, float]  # width and height of the cell in the picture, relative to its side
    pixels: Pixels  # (size, size, 3), as the network saw it


@dataclass(frozen=True)
class Sheet:
    """A photograph: its number from 1, name, counts of cells and other bodies, problems, and overlay."""

    number: int
    name: str
    cells: int  # that count
    parasitized: int  # called so, of those that count
    uncertain: int
    uncertain_parasitized: int  # of the uncertain, called parasitized
    ood: int  # out of distribution, of those that count
    border: int  # cells that do not count
    others: Counter[str]
    problems: list[Problem]
    overlay: bytes  # JPEG: pixels would take twenty times the memory
    size: tuple[int, int]  # px, of the overlay


@dataclass
class Slide:
    """The photographs of a slide that were read, the cells of the galleries, and a line for each that was not read."""

    threshold: float
    max_side: int  # px, of the overlays
    sheets: list[Sheet] = field(default_factory=list)
    parasitized: list[Example] = field(default_factory=list)  # the most probable first
    uncertain: list[Example] = field(default_factory=list)  # the least certain first
    broken: list[str] = field(default_factory=list)

    def add(self, name: str, photograph: CalledPhotograph) -> None:
        """Keep what the page shows of a photograph, and the last part of its name, but not the photograph."""
        cropped = crop_to_field(photograph)
        overlay = draw_overlay(cropped, self.max_side)
        counted = photograph.counted
        positive = counted.prediction == PARASITIZED
        self.sheets.append(
            Sheet(
                len(self.sheets) + 1,
                _shorten(name),
                len(counted),
                int(positive.sum()),
                int(counted.uncertain.sum()),
                int((counted.uncertain & positive).sum()),
                int((counted.ood != "").sum()),
                len(photograph.table) - len(counted),
                photograph.found.others,
                check_quality(photograph.found, photograph.table),
                encode(overlay),
                overlay.size,
            )
        )
        self._add_examples(cropped, overlay)

    def add_broken(self, name: str, reason: str) -> None:
        """Keep the name of a photograph that cannot be read."""
        self.broken.append(f"{_shorten(name)}: {reason}")

    def _add_examples(self, photograph: CalledPhotograph, overlay: Image.Image) -> None:
        """Those that are more extreme than what is kept take its place."""
        counted, number = photograph.counted, len(self.sheets)
        unsure = counted[counted.uncertain].sort_values("probability", key=self._certainty).head(MAX_EXAMPLES)
        sure = counted[~counted.uncertain & (counted.prediction == PARASITIZED)]
        sure = sure.sort_values("probability", ascending=False).head(MAX_EXAMPLES)
        self.uncertain += (_make_example(photograph, overlay, number, row) for row in unsure.to_dict("records"))
        self.parasitized += (_make_example(photograph, overlay, number, row) for row in sure.to_dict("records"))
        self.uncertain = sorted(self.uncertain, key=lambda it: self._certainty(it.probability))[:MAX_EXAMPLES]
        self.parasitized = sorted(self.parasitized, key=lambda it: -it.probability)[:MAX_EXAMPLES]

    def _certainty(self, probability: Any) -> Any:
        return certainty(probability, self.threshold)


def _shorten(name: str) -> str:
    """The last part of a path: the page may be passed on, and folders may be named after people."""
    return PurePath(name).name


def _make_example(photograph: CalledPhotograph, overlay: Image.Image, number: int, row: dict[Any, Any]) -> Example:
    """A row of the table with its picture; what lies outside of the photograph is black."""
    image = photograph.image
    x, y = row["x"] + row["width"] / 2, row["y"] + row["height"] / 2
    side = MARGIN * max(row["width"], row["height"])
    corner = round(x - side / 2), round(y - side / 2)
    crop = image.crop((*corner, corner[0] + round(side), corner[1] + round(side)))
    scale = overlay.width / image.width
    return Example(
        number,
        row["cell"],
        (x / image.width, y * scale / overlay.height),
        row["probability"],
        row["prediction"],
        row["ood"],
        crop.resize((PICTURE, PICTURE), Image.Resampling.BICUBIC),
        (row["width"] / side, row["height"] / side),
        photograph.pixels[row["cell"] - 1],
    )


def encode(image: Image.Image) -> bytes:
    """A picture as a JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def place_saliency(example: Example, saliency: Pixels, stretched: bool) -> Pixels:
    """A saliency map (size, size) of what the network saw, as (PICTURE, PICTURE) over the cell's picture.

    `stretched` says whether the cell's box filled the square, else it was padded to one.
    """
    box = example.box if stretched else (max(example.box),) * 2
    width, height = (max(1, round(PICTURE * side)) for side in box)
    placed = Image.new("L", (PICTURE, PICTURE))
    resized = Image.fromarray(saliency).resize((width, height), Image.Resampling.BILINEAR)
    placed.paste(resized, ((PICTURE - width) // 2, (PICTURE - height) // 2))
    return np.asarray(placed)


def stack_pixels(examples: Iterable[Example]) -> Pixels:
    """What the network saw of each, (N, size, size, 3)."""
    return np.stack([example.pixels for example in examples])
