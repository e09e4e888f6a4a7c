"""Cells are drawn to the same bytes everywhere, look like cells, and come in sets like NLM's."""

import hashlib
import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from malaria.sources.drawing.sets import draw_cell, draw_cells, plan
from malaria.sources.nih import make_index

PATIENTS, CELLS = 12, 240
GOLDEN = "036c9e0340ff71879b198238b025bfe9e9c3476cd4c4902aad55b094ab7bd03b"
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def pngs() -> dict[str, bytes]:
    return dict(draw_cells(PATIENTS, CELLS, seed=0, workers=1))


@pytest.fixture(scope="module")
def cells(pngs: dict[str, bytes]) -> dict[str, Pixels]:
    return {name: decode(png) for name, png in pngs.items()}


def decode(png: bytes) -> Pixels:
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def test_a_draw_is_the_same_bytes_on_any_hardware(pngs: dict[str, bytes]) -> None:
    # fails where arithmetic, random numbers or PNG writing depend on the platform, and where the drawing is changed
    digest = hashlib.sha256(b"".join(name.encode() + b"\n" + png for name, png in pngs.items()))
    assert digest.hexdigest() == GOLDEN


def test_workers_change_nothing_and_the_seed_all(pngs: dict[str, bytes]) -> None:
    assert list(draw_cells(PATIENTS, CELLS, seed=0, workers=2)) == list(pngs.items())
    assert next(draw_cells(PATIENTS, CELLS, seed=1, workers=1))[1] not in pngs.values()


@given(patients=st.integers(10, 120), spare=st.integers(0, 1500), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_any_set_has_its_cells_patients_and_classes(patients: int, spare: int, seed: int) -> None:
    cells = max(100, 4 * patients) + spare
    planned = plan(patients, cells, seed)
    index = make_index(cell.name for cell in planned)
    assert index.name.tolist() == [cell.name for cell in planned]
    assert index.label.tolist() == [cell.parasitized for cell in planned]
    assert index.name.str.partition("/")[2].nunique() == cells
    assert index.label.sum() == cells // 2
    assert index.groupby("label").patient.nunique().tolist() == [patients, patients - patients // 4]


def test_a_few_patients_have_a_fifth_of_the_parasitized_cells() -> None:
    counts = Counter(cell.patient for cell in plan(patients=40, cells=2400, seed=0) if cell.parasitized)
    assert sum(count for _, count in counts.most_common(3)) > 0.2 * 1200
    assert min(counts.values()) < 10


def test_a_cell_nearly_touches_the_edges_of_its_crop_and_is_black_around(cells: dict[str, Pixels]) -> None:
    for pixels in cells.values():
        inside = pixels.any(axis=2)
        assert all(line.any() for line in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
        assert np.sum([inside[y, x] for y in (0, -1) for x in (0, -1)]) <= 1  # a tail may point into a corner
        assert 0.4 < inside.mean() < 0.95
        assert inside[inside.shape[0] // 2, inside.shape[1] // 2]
    shapes = {pixels.shape[:2] for pixels in cells.values()}
    assert all(60 <= side <= 200 for shape in shapes for side in shape)
    assert any(height != width for height, width in shapes)
    assert len(shapes) > 20


def test_parasites_darken_most_parasitized_cells_and_change_no_outline() -> None:
    changed = []
    for cell in [cell for cell in plan(PATIENTS, CELLS, seed=0) if cell.parasitized]:
        infected, clean = draw_cell(cell).astype(int), draw_cell(cell._replace(parasitized=False)).astype(int)
        assert np.array_equal(infected.any(axis=2), clean.any(axis=2))
        changed.append(np.sum(clean[..., 1] - infected[..., 1] > 25) >= 10)  # grain alone stays below 25
    assert 0.8 < np.mean(changed) < 1


def test_patients_differ_in_stain(cells: dict[str, Pixels]) -> None:
    index = make_index(cells)
    colors = np.array([np.median(pixels[pixels.any(axis=2)], axis=0) for pixels in cells.values()])
    groups = [colors[rows] for rows in index.groupby("patient").indices.values()]
    between = np.std([group.mean(axis=0) for group in groups], axis=0).mean()
    assert between > 2 * np.mean([group.std(axis=0) for group in groups])


@pytest.mark.parametrize(("patients", "cells"), [(0, 100), (26, 103)])
def test_too_few_cells_for_the_patients_are_refused_before_drawing(patients: int, cells: int) -> None:
    with pytest.raises(ValueError, match=f"{cells} cells of {patients} patients"):
        draw_cells(patients, cells, seed=0)
