import hashlib
import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from malaria import names
from malaria.data.sources.synthetic import draw_cell, draw_cells, encode_png, plan

PATIENTS, CELLS = 12, 240
GOLDEN = "036c9e0340ff71879b198238b025bfe9e9c3476cd4c4902aad55b094ab7bd03b"


@pytest.fixture(scope="module")
def drawn() -> dict[str, bytes]:
    return dict(draw_cells(PATIENTS, CELLS, seed=0, workers=1))


def _decode(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def _digest(pairs: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, png in pairs.items():
        digest.update(name.encode() + b"\n" + png)
    return digest.hexdigest()


def test_a_small_draw_is_the_same_bytes_on_every_machine(drawn: dict[str, bytes]) -> None:
    # Fails where arithmetic, random numbers or PNG writing depend on the machine. A change of the drawing changes it.
    assert _digest(drawn) == GOLDEN


def test_the_number_of_workers_changes_nothing(drawn: dict[str, bytes]) -> None:
    assert list(draw_cells(PATIENTS, CELLS, seed=0, workers=2)) == list(drawn.items())


def test_another_seed_draws_other_cells(drawn: dict[str, bytes]) -> None:
    other = next(png for _, png in draw_cells(PATIENTS, CELLS, seed=1, workers=1))
    assert other not in drawn.values()


def test_names_come_sorted_and_once(drawn: dict[str, bytes]) -> None:
    assert list(drawn) == sorted(drawn)
    assert len({name.split("/")[1] for name in drawn}) == CELLS


@given(patients=st.integers(10, 120), spare=st.integers(0, 1500), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_any_plan_has_its_cells_patients_and_classes(patients: int, spare: int, seed: int) -> None:
    cells = max(100, 4 * patients) + spare
    planned = plan(patients, cells, seed)
    assert len({cell.name.split("/")[1] for cell in planned}) == len(planned) == cells
    counts = {yes: Counter(names.patient(c.name) for c in planned if names.label(c.name) == yes) for yes in (0, 1)}
    assert counts[1].total() == cells // 2
    assert len(counts[0]) == patients
    assert len(counts[1]) == patients - patients // 4
    assert all(cell.parasitized == bool(names.label(cell.name)) for cell in planned)


def test_a_few_patients_hold_a_fifth_of_the_parasitized_cells() -> None:
    planned = plan(patients=40, cells=2400, seed=0)
    counts = Counter(names.patient(cell.name) for cell in planned if cell.parasitized)
    assert sum(count for _, count in counts.most_common(3)) > 0.2 * 1200
    assert min(counts.values()) < 10


def test_smears_are_fields_of_view_of_one_patient() -> None:
    patients: dict[str, set[str]] = {}
    for cell in plan(patients=40, cells=2400, seed=0):
        patients.setdefault(names.smear(cell.name), set()).add(names.patient(cell.name))
    assert all(len(owners) == 1 for owners in patients.values())
    assert 40 < len(patients) <= 160


def test_a_cell_nearly_touches_the_edges_of_its_crop_and_is_black_around(drawn: dict[str, bytes]) -> None:
    shapes = set()
    for png in drawn.values():
        pixels = _decode(png)
        shapes.add(pixels.shape[:2])
        inside = pixels.any(axis=2)
        assert all(line.any() for line in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
        assert np.sum([inside[y, x] for y in (0, -1) for x in (0, -1)]) <= 1  # a tail may point into a corner
        assert 0.4 < inside.mean() < 0.95
        assert inside[inside.shape[0] // 2, inside.shape[1] // 2]
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


def test_patients_differ_in_stain(drawn: dict[str, bytes]) -> None:
    colours: dict[str, list[NDArray[np.float64]]] = {}
    for name, png in drawn.items():
        pixels = _decode(png)
        colours.setdefault(names.patient(name), []).append(np.median(pixels[pixels.any(axis=2)], axis=0))
    means = np.array([np.mean(c, axis=0) for c in colours.values()])
    within = np.mean([np.std(c, axis=0) for c in colours.values()])
    assert means.std(axis=0).mean() > 2 * within


@pytest.mark.parametrize(("patients", "cells"), [(0, 100), (26, 103)])
def test_too_few_cells_for_the_patients_are_refused_before_drawing(patients: int, cells: int) -> None:
    with pytest.raises(ValueError, match=f"{cells} cells of {patients} patients"):
        draw_cells(patients, cells, seed=0)


@given(height=st.integers(1, 150), width=st.integers(1, 250), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_a_png_holds_its_pixels(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert np.array_equal(_decode(encode_png(pixels)), pixels)


@pytest.mark.parametrize("rows", [770, 771, 772, 1542])  # of 85 bytes: 771 fill a stored block of 65535
def test_a_png_may_end_on_a_stored_block_or_need_more(rows: int) -> None:
    pixels = np.resize(np.arange(251, dtype=np.uint8), (rows, 28, 3))
    assert np.array_equal(_decode(encode_png(pixels)), pixels)
