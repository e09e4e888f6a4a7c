"""Crops of another laboratory, as a detector's boxes cut them from its fields: neighbours and background in view."""

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from malaria.sources.drawing.arithmetic import Random, between, generator
from malaria.sources.drawing.fields import Field, draw_field
from malaria.sources.drawing.labs import Lab
from malaria.sources.drawing.png import encode_png

MARGIN = (0.05, 0.2)  # of a box around its cell, relative to its longer side
CELLS = 30  # of a field, about


class Crop(NamedTuple):
    """A cell as a detector's box cuts it from a field."""

    name: str  # as in `P3/field2_cell7.png`
    patient: str
    parasitized: bool
    png: bytes


def draw_crops(lab: Lab, patients: int, cells: int, seed: int) -> Iterator[Crop]:
    """Draw crops as another laboratory might send them: (name, patient, parasitized, PNG), patient by patient.

    Each patient has fields of their own, and about as many crops as the others, half of them parasitized. No cell is
    cut by the edge of its field, but others may lie on it.

    Raises:
        ValueError: fewer than two cells a patient.
    """
    if not 1 <= patients <= cells // 2:
        raise ValueError(f"{cells} cells of {patients} patients: take 1 patient or more and 2 cells or more of each")
    ends = [cells * i // patients for i in range(patients + 1)]
    wanted = [(ends[i + 1] // 2 - ends[i] // 2, ends[i + 1] - ends[i]) for i in range(patients)]
    return (crop for i, (yes, total) in enumerate(wanted) for crop in _patient_crops(lab, seed, i, yes, total))


def _patient_crops(lab: Lab, seed: int, patient: int, parasitized: int, total: int) -> Iterator[Crop]:
    rng = generator(seed, 8, patient)
    left = {True: parasitized, False: total - parasitized}
    for number in count():
        if not any(left.values()):
            return
        field = _field(lab, seed, patient, number)
        for row in field.cells[~field.cells.cut].to_dict("records"):
            if left[row["parasitized"]]:
                left[row["parasitized"]] -= 1
                name = f"P{patient + 1}/field{number + 1}_cell{row['cell']}.png"
                png = encode_png(_cut(rng, field, [row[key] for key in ("x0", "y0", "x1", "y1")]))
                yield Crop(name, f"P{patient + 1}", row["parasitized"], png)


def _field(lab: Lab, seed: int, patient: int, number: int) -> Field:
    """A square field of about `CELLS` cells, half of them parasitized."""
    side = int(lab.radius * float(np.sqrt(4 * CELLS / lab.density)))
    return draw_field(lab, seed, None, 0.5, side, side, patient=patient, number=number)


def _cut(rng: Random, field: Field, box: list[int]) -> NDArray[np.uint8]:
    """The pixels of a cell's box and of a margin around it, as far as there are any."""
    left, top, right, bottom = box
    side = max(right - left, bottom - top)
    before, above, after, below = (int(between(rng, *MARGIN) * side + 0.5) for _ in range(4))
    return field.pixels[max(top - above, 0) : bottom + below, max(left - before, 0) : right + after]
