"""Many image files become cells, in their order, and a line for each that cannot be read."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from malaria.data.image_files import find_images
from malaria.data.index import PLACES
from malaria.smear import files
from malaria.smear.crops import decode
from malaria.smear.files import Decoded, Form, decode_files
from malaria.sources.drawing.labs import HOME, VIVID
from tests.support.fields import NOTHING, draw, nothing, to_image
from tests.support.images import empty_crop, encode, join_cells, pack
from tests.support.param_fields import preprocess_params
from tests.support.scratch import ROOT

MEMORY = """
import re, sys
from pathlib import Path
from malaria.data.image_files import ImageFile
from malaria.smear.files import decode_files
from tests.support.param_fields import preprocess_params
(decoded,) = decode_files([ImageFile(sys.argv[1])], preprocess_params(), 1)
status = Path("/proc/self/status").read_text()  # getrusage would count what the parent had when it forked
print(len(decoded.table), int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) // 1024)
"""


@pytest.fixture(scope="module")
def photo() -> bytes:
    """A drawn photograph of some 20 cells, 420 px a side."""
    return encode(to_image(draw(replace(VIVID, radius=30), 2)))


def decode_all(folder: Path, form: Form = "auto", workers: int = 1) -> list[Decoded]:
    return list(decode_files(find_images([str(folder)]), preprocess_params(), workers, form))


@pytest.mark.parametrize("chunk", [4, 100])  # several chunks are decoded in worker processes, one is here
def test_images_are_decoded_in_order_and_broken_ones_named(
    chunk: int, drawn: list[tuple[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK", chunk)
    (tmp_path / "cells.zip").write_bytes(pack(dict(drawn[:10]) | {drawn[3][0]: b"junk"}))
    found = list(decode_files(find_images([f"{tmp_path}/cells.zip"]), preprocess_params(fit="pad"), 1))
    good = [cell for cell in drawn[:10] if cell != drawn[3]]
    assert [name for part in found for name in part.table.image] == [f"{tmp_path}/cells.zip/{name}" for name, _ in good]
    cells = [cell for part in found for cell in part.cells]
    expected = [decode(data, preprocess_params(fit="pad")) for _, data in good]
    assert all((cell == other).all() for cell, other in zip(cells, expected, strict=True))
    (broken,) = (line for part in found for line in part.broken)
    assert broken.startswith(f"{tmp_path}/cells.zip/{drawn[3][0]}: ")


def test_a_crop_without_a_cell_is_among_the_broken_or_kept(tmp_path: Path, drawn: list[tuple[str, bytes]]) -> None:
    for name, data in {"a": drawn[0][1], "b": empty_crop()}.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    (dropped,) = decode_files(find_images([str(tmp_path)]), preprocess_params(), 1)
    assert dropped.table.image.tolist() == [f"{tmp_path}/a.png"]
    assert dropped.images == 2
    assert [line.partition(": ")[0] for line in dropped.broken] == [f"{tmp_path}/b.png"]
    (kept,) = decode_files(find_images([str(tmp_path)]), preprocess_params(unsegmented="keep"), 1)
    assert len(kept.cells) == len(kept.table) == kept.images == 2
    assert kept.broken == []


def test_of_two_cells_that_touch_there_is_no_crop(tmp_path: Path, drawn: list[tuple[str, bytes]]) -> None:
    join_cells(drawn[0][1], drawn[1][1]).save(tmp_path / "two.png")
    (tmp_path / "one.png").write_bytes(drawn[0][1])
    (decoded,) = decode_all(tmp_path)
    assert [name.rpartition("/")[2] for name in decoded.table.image] == ["one.png"]
    assert [line.partition(": ")[0].rpartition("/")[2] for line in decoded.broken] == ["two.png"]


def test_no_files_are_no_cells() -> None:
    assert list(decode_files([], preprocess_params(), 1)) == []


def test_photographs_and_crops_are_told_apart_and_stay_in_order(
    photo: bytes, tmp_path: Path, drawn: list[tuple[str, bytes]]
) -> None:
    crop = drawn[0][1]
    names = ["a.png", "b.png", "c-photo.png", "d.png", "e-broken.jpg", "f-photo.png"]
    for name in names:
        (tmp_path / name).write_bytes(photo if "photo" in name else crop if "broken" not in name else photo[:900])
    parts = decode_all(tmp_path)
    assert [part.images for part in parts] == [2, 1, 2, 1]
    assert [part.file and Path(part.file.name).name for part in parts] == [None, names[2], None, names[5]]
    assert [len(part.broken) for part in parts] == [0, 0, 1, 0]
    for part in parts:
        assert part.table.columns.tolist() == ["image", *PLACES]
        assert len(part.table) == len(part.cells)
    crops, first, *_ = parts
    assert (crops.table[PLACES] == "").all(axis=None)
    assert first.found is not None
    assert len(first.table) == len(first.found.cells) > 10
    assert (parts[3].cells == first.cells).all()


@pytest.mark.slow
def test_worker_processes_find_what_one_finds(photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(photo)
    here = decode_all(tmp_path)
    monkeypatch.setattr(files, "CHUNK_BYTES", 1)
    for one, other in zip(here, decode_all(tmp_path, workers=2), strict=True):
        assert one.table.equals(other.table)
        assert (one.cells == other.cells).all()


def test_what_an_image_is_can_be_said(photo: bytes, tmp_path: Path, drawn: list[tuple[str, bytes]]) -> None:
    """A crop as a photograph has too few cells to count; of a photograph as a crop at most one cell is looked at."""
    (tmp_path / "crop.png").write_bytes(drawn[0][1])
    (part,) = decode_all(tmp_path, "photo")
    assert (part.images, len(part.table), part.broken) == (1, 0, [])
    assert part.file is not None
    (tmp_path / "crop.png").write_bytes(photo)
    (part,) = decode_all(tmp_path, "crop")
    assert len(part.table) + len(part.broken) == 1
    assert part.file is part.found is None


@pytest.mark.parametrize("kind", [kind for kind in NOTHING if kind != "black"])
def test_an_image_of_nothing_is_a_photograph_without_cells(kind: str, tmp_path: Path) -> None:
    Image.fromarray(nothing(kind)).save(tmp_path / "a.png")
    (part,) = decode_all(tmp_path)
    assert (part.images, part.broken, len(part.table)) == (1, [], 0)
    assert part.cells.shape == (0, 32, 32, 3)
    assert part.table.columns.tolist() == ["image", *PLACES]


def test_an_empty_round_field_is_no_cell(tmp_path: Path) -> None:
    to_image(draw(replace(HOME, radius=35), cells=0)).save(tmp_path / "a.png")
    (part,) = decode_all(tmp_path)
    assert len(part.table) == 0
    assert part.file is not None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_fifty_megapixels_take_less_than_a_gigabyte(tmp_path: Path) -> None:
    """Measured: 510 to 600 MB, of which the photograph itself is 150."""
    field = draw(replace(VIVID, radius=60, gradient=0, vignetting=0), across=16)
    Image.fromarray(np.tile(field.pixels, (6, 9, 1))).save(tmp_path / "a.jpg", quality=90)
    run = [sys.executable, "-c", MEMORY, str(tmp_path / "a.jpg")]
    cells, memory = map(int, subprocess.check_output(run, cwd=ROOT, text=True).split())
    assert cells > 0.9 * 54 * len(field.cells)
    assert memory < 1000
