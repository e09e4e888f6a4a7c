"""A photograph with its red cells outlined by call, and a legend with counts below it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from malaria.slide.photographs import COUNTED, PARASITIZED, CalledPhotograph
from malaria.smear.photograph import RedCell

Points = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]

VERTICES = 48  # of an outline: divided by the periods of all dash patterns
THINNEST = 1  # px of an outline
LEGEND = 80  # a picture is so many times as wide as its legend's letters are high
SMALLEST_TEXT = 11  # px
INK, PAPER = (27, 31, 36), (255, 255, 255)


class Style(NamedTuple):
    """How an outline is drawn: `width` relative to a cell's diameter, `dash` in VERTICES drawn and left out."""

    color: tuple[int, int, int]
    width: float
    dash: tuple[int, int] | None = None


# Colours of Okabe and Ito (2008), which people of any colour vision can tell apart; in print widths and dashes do.
STYLES = {
    "parasitized": Style((213, 94, 0), 0.1),
    "uncertain": Style((0, 114, 178), 0.06, (5, 3)),
    "uninfected": Style((0, 158, 115), 0.02),
    "not counted": Style((0, 0, 0), 0.02, (1, 1)),
}
NUMBERED = ("parasitized", "uncertain")  # calls whose cells have their number beside them


def draw_overlay(photograph: CalledPhotograph, max_side: int | None = None) -> Image.Image:
    """The photograph, RGB, its longer side scaled down to `max_side` px, with a legend added below.

    The place of a cell in it is that in the photograph times the scale.
    """
    image = photograph.image
    scale = min(1.0, (max_side or max(image.size)) / max(image.size))
    size = round(image.width * scale), round(image.height * scale)
    # first by whole steps, down to three times the size, which looks the same and is much quicker
    picture = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3) if scale < 1 else image.copy()
    diameter = scale * (photograph.found.diameter or 0)
    calls = name_calls(photograph.table)
    draw = ImageDraw.Draw(picture)
    for number, cell, call in zip(photograph.table.cell, photograph.found.cells, calls, strict=True):
        _draw_cell(draw, cell, scale, STYLES[call], diameter)
        if call in NUMBERED:
            _write_number(draw, cell, scale, str(number), diameter)
    return _add_legend(picture, photograph.table, calls)


def name_calls(table: pd.DataFrame) -> list[str]:
    """One of STYLES for each row of `CalledPhotograph.table`."""
    called = np.where(table.prediction == PARASITIZED, "parasitized", "uninfected")
    called = np.where(table.uncertain.astype(bool), "uncertain", called)
    names: list[str] = np.where(table.kind.isin(COUNTED), called, "not counted").tolist()
    return names


def find_outline(cell: RedCell) -> Points:
    """VERTICES points (x, y) around a cell, px of the photograph: how far its mask reaches in each direction."""
    mask = np.pad(cell.mask, 1)
    inner = mask[2:, 1:-1] & mask[:-2, 1:-1] & mask[1:-1, 2:] & mask[1:-1, :-2]
    y, x = np.nonzero(cell.mask & ~inner)  # the rim, since there are far fewer pixels in it
    middle = np.array([x.mean(), y.mean()])
    away = np.stack([x, y], 1) - middle
    sector = ((np.arctan2(away[:, 1], away[:, 0]) / (2 * np.pi) + 0.5) * VERTICES).astype(int) % VERTICES
    reach = np.zeros(VERTICES)
    np.maximum.at(reach, sector, np.hypot(*away.T))
    seen = np.flatnonzero(reach)  # a direction in which a slim cell is narrow may have no pixel
    reach = np.interp(np.arange(VERTICES), seen, reach[seen], period=VERTICES) if len(seen) else reach
    reach = (np.roll(reach, 1) + 2 * reach + np.roll(reach, -1)) / 4
    angle = (np.arange(VERTICES) + 0.5) / VERTICES * 2 * np.pi - np.pi
    offset = middle + np.array([cell.x + 0.5, cell.y + 0.5])
    outline: Points = offset + reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return outline


def _draw_cell(draw: ImageDraw.ImageDraw, cell: RedCell, scale: float, style: Style, diameter: float) -> None:
    """The outline of a cell, just outside of it, so that nothing of the cell is covered."""
    width = max(THINNEST, style.width * diameter)
    outline = find_outline(cell) * scale
    away = outline - outline.mean(0)
    outline += away / np.maximum(np.hypot(*away.T), 1)[:, None] * width / 2
    for stroke in _dash(np.concatenate([outline, outline[:1]]), style.dash):
        draw.line([tuple(point) for point in stroke], style.color, round(width))


def _dash(line: Points, dash: tuple[int, int] | None) -> Iterator[Points]:
    """The strokes of a line."""
    if dash is None:
        yield line
        return
    drawn, skipped = dash
    for start in range(0, len(line) - 1, drawn + skipped):
        yield line[start : start + drawn + 1]


def _write_number(draw: ImageDraw.ImageDraw, cell: RedCell, scale: float, text: str, diameter: float) -> None:
    """The number of a cell at the upper right of its box."""
    x, y = cell.box[2] * scale, cell.box[1] * scale
    font = ImageFont.load_default(max(SMALLEST_TEXT, 0.3 * diameter))
    draw.text((x, y), text, INK, font, "lm", stroke_width=2, stroke_fill=PAPER)


def _add_legend(picture: Image.Image, table: pd.DataFrame, calls: list[str]) -> Image.Image:
    """The picture with a line of white below it, or several: each style, its name and count."""
    size = max(SMALLEST_TEXT, picture.width / LEGEND)
    font = ImageFont.load_default(size)
    texts = dict(zip(STYLES, _describe(table, calls), strict=True))
    places, lines = _lay_out({call: font.getlength(text) for call, text in texts.items()}, size, picture.width)
    whole = Image.new("RGB", (picture.width, picture.height + round((1.8 * lines + 0.6) * size)), PAPER)
    whole.paste(picture)
    draw = ImageDraw.Draw(whole)
    for call, (x, line) in places.items():
        y = picture.height + (1.8 * line + 1.2) * size
        _draw_sample(draw, x, y, size, STYLES[call])
        draw.text((x + 3 * size, y), texts[call], INK, font, "lm")
    return whole


def _describe(table: pd.DataFrame, calls: list[str]) -> Iterator[str]:
    """The name and count of each call."""
    positive = table.prediction == PARASITIZED
    for call in STYLES:
        of = np.array([it == call for it in calls], bool)
        text = f"{call} {of.sum():,}"
        if call == "uncertain" and of.any():
            text += f" ({(of & positive).sum():,} predicted parasitized)"
        yield text + (" (at the border)" if call == "not counted" and of.any() else "")


def _lay_out(lengths: dict[str, float], size: float, width: int) -> tuple[dict[str, tuple[float, int]], int]:
    """The left (px) and line of each entry, and the number of lines."""
    places, x, line = {}, size, 0
    for name, length in lengths.items():
        if x > size and x + 3 * size + length > width:
            x, line = size, line + 1
        places[name] = x, line
        x += 5 * size + length
    return places, line + 1


def _draw_sample(draw: ImageDraw.ImageDraw, x: float, y: float, size: float, style: Style) -> None:
    """A piece of outline, of cells three times as large as the letters."""
    width = max(THINNEST, style.width * 3 * size)
    line = np.stack([np.linspace(x, x + 2.5 * size, 14), np.full(14, y)], 1)
    for stroke in _dash(line, style.dash):
        draw.line([tuple(point) for point in stroke], style.color, round(width))
