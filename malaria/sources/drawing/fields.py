"""Whole fields of a blood smear as a laboratory's microscope shows them, with the true outline of each red cell."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from malaria.sources.drawing.arithmetic import Random, between, generator
from malaria.sources.drawing.bystanders import platelet, speck, white_cell
from malaria.sources.drawing.labs import Lab, look_of
from malaria.sources.drawing.optics import photograph
from malaria.sources.drawing.placement import Frame, check_room, place
from malaria.sources.drawing.smear import Row, Shape, Smear, draw_shape

Labels = NDArray[np.int32]
Other = tuple[str, int, int, float]


class Field(NamedTuple):
    """A photograph of a smear and what is true of it.

    - `pixels`: uint8, shape (height, width, 3).
    - `labels`: int32, shape (height, width): the red cell that each pixel shows, 0 for none. Where cells overlap the
      upper one has the pixel.
    - `cells`: a row a red cell: `cell` (its number in `labels`), `x,y` (its centre), `x0,y0,x1,y1` (the box of its
      outline in the field, hidden parts included; x1 and y1 are one past it), `area` (its pixels in `labels`),
      `parasitized`, `cut` (part of it is outside of the field), `touching` (it touches or overlaps another).
    - `others`: a row a body that is no red cell: `kind` (white cell, platelet or speck), `x,y` and `radius` in px.
    """

    pixels: NDArray[np.uint8]
    labels: Labels
    cells: pd.DataFrame
    others: pd.DataFrame


def draw_field(
    lab: Lab,
    seed: int,
    cells: int | None = None,
    parasitemia: float = 0.0,
    width: int = 640,
    height: int = 480,
    *,
    patient: int = 0,
    number: int = 0,
    scale_bar: bool = False,
) -> Field:
    """Draw a field of a laboratory's smears; the same arguments give the same bytes on any machine.

    Args:
        lab: how its smears and photographs look.
        seed: of everything that is drawn.
        cells: red cells, whole or cut by the edge; None for as many as the laboratory's density gives.
        parasitemia: the part of them that is parasitized, 0 to 1.
        width: of the photograph, px.
        height: of the photograph, px.
        patient: the fields of one share stain and pallor.
        number: of the field among the patient's.
        scale_bar: draw one at the lower right.

    Raises:
        ValueError: more cells than the field has room for.
    """
    rng = generator(seed, 6, patient, number)
    frame = _frame(rng, lab, width, height)
    count = _usual_count(lab, frame) if cells is None else cells
    check_room(frame, np.full(count, lab.radius))
    smear = Smear(lab, look_of(lab, seed, patient), frame)
    others, places = _lay_out(rng, smear, shapes := [draw_shape(rng, lab) for _ in range(count)])
    infected = set(rng.permutation(count)[: int(parasitemia * count + 0.5)].tolist())
    rows = [
        smear.add_cell(generator(seed, 7, patient, number, i), shape, i + 1, *place, i in infected)
        for i, (shape, place) in enumerate(zip(shapes, places, strict=True))
    ]
    others += _add_small_bodies(rng, smear, count)
    pixels = photograph(rng, lab, frame, smear.picture)
    if scale_bar:
        _add_scale_bar(pixels, lab.radius)
    return Field(pixels, smear.labels, _table(rows, smear), pd.DataFrame(others, columns=["kind", "x", "y", "radius"]))


def _frame(rng: Random, lab: Lab, width: int, height: int) -> Frame:
    """The whole photograph, or a round field about as wide as its shorter side."""
    if not lab.round:
        return Frame(width, height, width / 2, height / 2)
    side = min(width, height)
    x, y = width / 2 + between(rng, -0.06, 0.06) * side, height / 2 + between(rng, -0.02, 0.02) * side
    return Frame(width, height, x, y, side * between(rng, 0.485, 0.51))


def _usual_count(lab: Lab, frame: Frame) -> int:
    return int(lab.density * frame.area / (3.14159 * lab.radius * lab.radius) + 0.5)


def _count(rng: Random, per_hundred: float, cells: int) -> int:
    """A whole number about in proportion to the red cells."""
    return int(per_hundred * cells / 100 * between(rng, 0.5, 1.5) + rng.random())


def _lay_out(rng: Random, smear: Smear, shapes: list[Shape]) -> tuple[list[Other], list[tuple[int, int]]]:
    """Lay white cells on the smear; those, and the places (x, y) that are left for the red cells."""
    count = _count(rng, smear.lab.white_cells, len(shapes))
    large = np.array([smear.lab.radius * between(rng, 1.4, 1.9) for _ in range(count)])
    radii = np.array([shape.radius for shape in shapes])
    places = [(int(x), int(y)) for x, y in place(rng, smear.frame, large, radii, smear.lab.clumping)]
    white: list[Other] = [("white cell", *at, float(radius)) for at, radius in zip(places, large, strict=False)]
    for _, x, y, radius in white:
        smear.add(white_cell(rng, smear.look, radius), x, y)
    return white, places[count:]


def _add_small_bodies(rng: Random, smear: Smear, cells: int) -> list[Other]:
    """Lay platelets and specks anywhere in the field, on cells too."""
    added: list[Other] = []
    for kind, draw, per_hundred in (
        ("platelet", platelet, smear.lab.platelets),
        ("speck", speck, smear.lab.specks),
    ):
        for _ in range(_count(rng, per_hundred, cells)):
            sprite = draw(rng, smear.look, smear.lab.radius)
            x, y = int(rng.integers(smear.frame.width)), int(rng.integers(smear.frame.height))
            smear.add(sprite, x, y)
            if smear.frame.shows(np.array(x), np.array(y)):
                added.append((kind, x, y, sprite.radius))
    return added


def _add_scale_bar(pixels: NDArray[np.uint8], radius: float) -> None:
    """A bar of about two red cells with a tick at each end: dark, or white on black."""
    height, width, _ = pixels.shape
    thick, length = max(height // 240, 1), min(int(radius * 4), width // 3)
    right, bottom = width - width // 20, height - height // 20
    colour = 20 if pixels[bottom, right].max() > 60 else 230
    pixels[bottom : bottom + thick, right - length : right] = colour
    for left in (right - length, right - thick):
        pixels[bottom - 4 * thick : bottom, left : left + thick] = colour


def _table(rows: list[Row], smear: Smear) -> pd.DataFrame:
    columns = ["cell", "x", "y", "x0", "y0", "x1", "y1", "parasitized", "cut"]
    table = pd.DataFrame(rows, columns=columns).astype(
        dict.fromkeys(columns[:7], int) | {"parasitized": bool, "cut": bool}
    )
    areas = np.bincount(smear.labels.ravel(), minlength=len(rows) + 1)[1:]
    return table.assign(area=areas, touching=table.cell.isin(smear.touching))
