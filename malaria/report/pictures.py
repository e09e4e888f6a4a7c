"""Pictures of cells: original, with the saliency map as an overlay, and in rows for the README."""

import base64
import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from malaria.core.archive import open_archive
from malaria.data.decode import Pixels, read_rgb, to_square
from malaria.params import Preprocess
from malaria.report.charts import add_caption
from malaria.smear.crops import isolate

MAX_SIDE = 128  # px, of a picture on the page
_HEAT = mpl.colormaps["plasma"]


def read_cells(archive: Path, names: list[str]) -> list[Image.Image]:
    """The original images of some cells, RGB."""
    opened = open_archive(archive)
    return [read_rgb(opened.read(name)) for name in names]


def shrink(image: Image.Image) -> Image.Image:
    """Scale down to MAX_SIDE: a few cells are three times as large as most."""
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    return image


def embed(image: Image.Image) -> str:
    """A picture as a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return data_uri("image/png", buffer.getvalue())


def data_uri(kind: str, data: bytes) -> str:
    """A data URI of that media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def overlay(image: Image.Image, saliency: Pixels, how: Preprocess) -> Image.Image:
    """A cell in gray, resized as for the network to MAX_SIDE px, under its saliency map (size, size) in colour."""
    cell, _ = isolate(image, how.mask)
    square = Image.fromarray(to_square(cell, MAX_SIDE, how.fit)).convert("L").convert("RGB")
    heat = np.asarray(Image.fromarray(saliency).resize(square.size, Image.Resampling.BILINEAR)) / 255
    opacity = 0.8 * heat[..., None] ** 0.7
    color = _HEAT(0.25 + 0.75 * heat)[..., :3] * 255
    return Image.fromarray((np.asarray(square) * (1 - opacity) + color * opacity).round().astype(np.uint8))


def tile(cells: Pixels, side: int = 64) -> Image.Image:
    """A grid of cells (columns, rows, size, size, 3), each scaled to `side` px."""
    columns, rows = cells.shape[:2]
    tiled = Image.new("RGB", (columns * side, rows * side))
    for column, row in np.ndindex(columns, rows):
        cell = Image.fromarray(cells[column, row]).resize((side, side), Image.Resampling.BILINEAR)
        tiled.paste(cell, (column * side, row * side))
    return tiled


def draw_mistakes(mistakes: dict[str, pd.DataFrame], archive: Path, across: int = 8, caption: str = "") -> Figure:
    """A row of cells for each kind of mistake, the most confident first, with the probability of Parasitized."""
    figure = Figure(figsize=(1.2 * across, 1.55 * len(mistakes)), layout="constrained")
    for part, (kind, cells) in zip(
        figure.subfigures(len(mistakes), squeeze=False)[:, 0], mistakes.items(), strict=True
    ):
        part.suptitle(kind, fontsize="medium")
        images = read_cells(archive, cells.name.head(across).tolist())
        axes = part.subplots(1, across)
        for axis in axes:
            axis.set_axis_off()
        for axis, image, probability in zip(axes, images, cells.probability, strict=False):
            axis.imshow(to_square(image, 96, "pad"))
            axis.set_title(f"{probability:.3f}", fontsize="small")
    add_caption(figure, caption)
    return figure
