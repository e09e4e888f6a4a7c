"""Drawn photographs of smears, with the true box of each red cell."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
from PIL import Image

from malaria.sources.drawing.fields import draw_field
from malaria.sources.drawing.labs import VIVID

LAB = replace(VIVID, radius=16, clumping=0)
SIZE = 400, 300  # px


def add_photographs(folder: Path, *names: str, cells: int = 20) -> pd.DataFrame:
    """Draw a photograph for each name, two in five cells parasitized.

    Returns:
        A row a red cell: photo, x, y, width, height (px) and label, healthy or infected.
    """
    tables = []
    for seed, name in enumerate(names):
        field = draw_field(LAB, seed, cells, 0.4, *SIZE)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(field.pixels).save(folder / name)
        true = field.cells
        table = pd.DataFrame({"photo": name, "x": true.x0, "y": true.y0})
        table["width"], table["height"] = true.x1 - true.x0, true.y1 - true.y0
        tables.append(table.assign(label=true.parasitized.map({True: "infected", False: "healthy"})))
    return pd.concat(tables, ignore_index=True)


def centres(boxes: pd.DataFrame) -> list[tuple[float, float]]:
    """Of boxes, x and y, px."""
    return list(zip(boxes.x + boxes.width / 2, boxes.y + boxes.height / 2, strict=True))
