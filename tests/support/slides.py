"""Photographs of smears to test with: drawn ones, and called ones of discs, each called as the test says."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from malaria.predict.classifier import Classifier
from malaria.slide.photographs import CalledPhotograph
from malaria.smear.cells import cut_squares, tabulate_places
from malaria.smear.photograph import Photograph, RedCell, find_cells
from malaria.sources.drawing.fields import draw_field
from malaria.sources.drawing.labs import HOME

LAB = replace(HOME, radius=20, round=False)
STEP, DIAMETER = 60, 40  # px: from disc to disc
BACKGROUND, CELL = (240, 225, 220), (200, 140, 160)


def draw_photograph(seed: int = 0, cells: int = 40) -> Image.Image:
    """A drawn field of 480 x 360 px, a fifth of whose cells are parasitized."""
    return Image.fromarray(draw_field(LAB, seed, cells=cells, parasitemia=0.2, width=480, height=360).pixels)


def write_photographs(folder: Path, count: int) -> list[str]:
    """Drawn photographs as PNG files in the folder; their paths."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"photo_{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        draw_photograph(number).save(path)
    return list(map(str, paths))


def call_photograph(image: Image.Image, classifier: Classifier, threshold: float | None = None) -> CalledPhotograph:
    """An RGB photograph as `predict_files` and `reopen` give it, without a file."""
    found = find_cells(image)
    pixels = cut_squares(image, found, classifier.card.preprocess)
    table = pd.concat([tabulate_places(found), classifier.predict_cells(pixels, threshold)], axis=1)
    return CalledPhotograph(image, found, table, pixels)


def call_discs(calls: pd.DataFrame, **found: object) -> CalledPhotograph:
    """Discs in a row, a row of `calls` each: probability, prediction, and if need be uncertain, ood and kind.

    `found` are fields of the Photograph that differ from those of a good one.
    """
    calls = pd.DataFrame({"uncertain": False, "ood": "", "kind": "single"} | dict(calls), index=calls.index)
    image = Image.new("RGB", (STEP * max(1, len(calls)), STEP), BACKGROUND)
    draw = ImageDraw.Draw(image)
    margin = (STEP - DIAMETER) // 2
    away = np.arange(DIAMETER) - (DIAMETER - 1) / 2
    disc = np.hypot(away[:, None], away) <= DIAMETER / 2
    cells = [RedCell(STEP * n + margin, margin, disc, kind, 1.0) for n, kind in enumerate(calls.kind)]
    for cell in cells:
        draw.bitmap((cell.x, cell.y), Image.fromarray(disc).convert("L"), CELL)
    good = {"others": Counter(), "diameter": DIAMETER, "light": 240.0, "covered": 0.3, "sharpness": 0.8}
    photograph = Photograph(cells, **(good | found))
    table = pd.concat([tabulate_places(photograph), calls.drop(columns="kind")], axis=1)
    return CalledPhotograph(image, photograph, table, np.zeros((len(cells), 32, 32, 3), np.uint8))


def many(count: int, **columns: object) -> CalledPhotograph:
    """So many uninfected discs, with changes."""
    return call_discs(pd.DataFrame({"probability": 0.01, "prediction": "Uninfected"} | columns, index=range(count)))
