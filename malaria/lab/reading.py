"""From files to sheets: photographs segmented, crops laid out side by side."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from malaria.core.artifacts import atomic_write, write_array, write_json
from malaria.data.decode import Pixels, read_rgb, to_square
from malaria.data.index import PLACES
from malaria.lab.sheets import PIXELS, SHEET, VIEW, Points, Sheet, read_pixels, read_sheet
from malaria.params import Preprocess
from malaria.slide.overlay import find_outline
from malaria.slide.quality import check_quality
from malaria.smear.cells import tabulate_places
from malaria.smear.crops import is_photograph, refuse_pair, to_cell
from malaria.smear.photograph import Photograph, RedCell, cut_out, find_cells

TILE, COLUMNS = 128, 16  # px of a crop's side, and crops in a row of their sheet
QUALITY = 85  # of view.jpg


def find_problems(sheet: Sheet, calls: pd.DataFrame) -> list[str]:
    """What is wrong with a photograph whose cells were called so, a line each."""
    if sheet.quality is None:
        return []
    boxes = sheet.table[["x", "y", "width", "height", "kind", "mask_quality"]].itertuples(index=False, name=None)
    cells = [RedCell(x, y, np.ones((height, width), bool), kind, it) for x, y, width, height, kind, it in boxes]
    facts = sheet.quality | {"others": Counter(sheet.quality["others"])}
    facts = sheet.quality | {"others": Counter(sheet.quality["others"])}
    table = pd.concat([sheet.table, calls], axis=1)
    return [f"{it.name}. {it.text}" for it in check_quality(Photograph(cells, **facts), table)]


def read_file(path: Path, how: Preprocess) -> Image.Image | Pixels:
    """The photograph, RGB, or the cell (size, size, 3) of a file.

    Raises:
        ValueError: it cannot be read, or is not of one cell.
    """
    image = read_rgb(path.read_bytes())
    if is_photograph(image):
        return image
    cell = to_cell(image, how)
    refuse_pair(image, how)
    return cell


def write_photograph(image: Image.Image, folder: Path, how: Preprocess) -> Sheet:
    """Find the cells of an RGB photograph, and write its folder."""
    found = find_cells(image)
    table = tabulate_places(found)
    names = [f"{number:04}.png" for number in table.cell]
    table.insert(0, "image", [_image_path(folder, name) for name in names])
    folder.mkdir(parents=True, exist_ok=True)
    cut = [cut_out(image, cell) for cell in found.cells]
    for name, cell in zip(names, cut, strict=True):
        cell.save(folder / name, compress_level=1)  # in a third of the time, and a tenth larger
    quality = {name: getattr(found, name) for name in ("diameter", "light", "covered", "sharpness")}
    outlines = [np.round(find_outline(cell), 1).tolist() for cell in found.cells]
    quality["others"] = dict(found.others)
    sheet = Sheet(folder.name, image.size, table, outlines, quality, how.model_dump())
    return _write(sheet, folder, image, stack([to_square(cell, how.size, how.fit) for cell in cut], how))


def add_crops(files: Sequence[Path], cells: Sequence[Pixels], folder: Path, how: Preprocess) -> Sheet:
    """Move the files of crops into the folder, and lay out what is in it anew."""
    folder.mkdir(parents=True, exist_ok=True)
    before = read_sheet(folder).table.image.tolist() if (folder / SHEET).exists() else []
    pixels = [*(read_pixels(folder) if before else []), *cells]
    for file in files:
        file.replace(folder / file.name)
    names = [Path(image).name for image in before] + [file.name for file in files]
    boxes = [(TILE * (n % COLUMNS), TILE * (n // COLUMNS), TILE, TILE) for n in range(len(names))]
    rows = [
        (_image_path(folder, name), n + 1, *box, "", np.nan)
        for n, (name, box) in enumerate(zip(names, boxes, strict=True))
    ]
    table = pd.DataFrame(rows, columns=["image", *PLACES])
    view = _lay_out([folder / name for name in names], boxes)
    sheet = Sheet(folder.name, view.size, table, [_frame(*box) for box in boxes], None, how.model_dump())
    return _write(sheet, folder, view, stack(pixels, how))


def stack(squares: Sequence[Pixels], how: Preprocess) -> Pixels:
    """Cells as one array, (N, size, size, 3)."""
    return np.stack(squares) if squares else np.zeros((0, how.size, how.size, 3), np.uint8)


def _image_path(folder: Path, name: str) -> str:
    return f"{folder.parent.name}/{folder.name}/{name}"


def _lay_out(files: Sequence[Path], boxes: Sequence[tuple[int, int, int, int]]) -> Image.Image:
    """The images of files, each in its box."""
    view = Image.new("RGB", (TILE * min(COLUMNS, len(boxes)), TILE * -(-len(boxes) // COLUMNS)))
    for file, (x, y, width, height) in zip(files, boxes, strict=True):
        tile = read_rgb(file.read_bytes())
        scale = min(width / tile.width, height / tile.height) * 0.94
        tile = tile.resize([max(1, round(side * scale)) for side in tile.size], Image.Resampling.BICUBIC)
        view.paste(tile, (x + (width - tile.width) // 2, y + (height - tile.height) // 2))
    return view


def _frame(x: int, y: int, width: int, height: int) -> Points:
    left, top, right, bottom = x + 3.0, y + 3.0, x + width - 3.0, y + height - 3.0
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def _write(sheet: Sheet, folder: Path, view: Image.Image, pixels: Pixels) -> Sheet:
    """All but the cells' own files; sheet.json comes last, and says that the others are complete."""
    with atomic_write(folder / VIEW) as temporary:
        view.save(temporary, "JPEG", quality=QUALITY)
    write_array(folder / PIXELS, pixels)
    rows = json.loads(sheet.table.to_json(orient="values"))
    write_json(folder / SHEET, vars(sheet) | {"table": rows})
    return sheet
