"""Decoding: the pixels Pillow gives, for every row, on any number of cores."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from malaria.core.archive import write_archive
from malaria.data.decode import decode_archive, to_square

Cells = list[tuple[str, bytes]]


def picture(width: int, height: int, color: tuple[int, int, int] = (200, 100, 50)) -> Image.Image:
    return Image.new("RGB", (width, height), color)


def decode(archive: Path, names: list[str], out: Path, workers: int = 2) -> bytes:
    hashes = np.concatenate(list(decode_archive(archive, names, out, 32, "stretch", workers)))
    assert len(set(hashes)) == len(names)
    return out.read_bytes()


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("sides", [(40, 40), (394, 40), (40, 394), (1, 1), (64, 64)])
def test_any_picture_becomes_a_square(fit: str, sides: tuple[int, int]) -> None:
    square = to_square(picture(*sides), 64, fit)
    assert square.shape == (64, 64, 3)
    assert square.dtype == np.uint8


def test_stretch_fills_the_square_and_pad_keeps_the_aspect_on_black() -> None:
    wide = picture(80, 40)
    assert (to_square(wide, 64, "stretch") == (200, 100, 50)).all()
    padded = to_square(wide, 64, "pad")
    assert (padded[16:48] == (200, 100, 50)).all()
    assert (padded[:16] == 0).all()
    assert (padded[48:] == 0).all()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_other_modes_become_rgb(mode: str) -> None:
    assert to_square(picture(50, 50).convert(mode), 32, "stretch").shape == (32, 32, 3)


def test_rows_are_in_the_order_of_the_names(drawn: Cells, archive: Path, tmp_path: Path) -> None:
    names = [name for name, _ in drawn][::-1]
    decode(archive, names, tmp_path / "cells.npy")
    rows = np.load(tmp_path / "cells.npy", mmap_mode="r")
    assert rows.shape == (240, 32, 32, 3)
    pngs = dict(drawn)
    for row in (0, 100, 239):
        assert (rows[row] == to_square(Image.open(io.BytesIO(pngs[names[row]])), 32, "stretch")).all()


def test_the_bytes_do_not_depend_on_the_number_of_cores(drawn: Cells, archive: Path, tmp_path: Path) -> None:
    names = [name for name, _ in drawn]
    assert decode(archive, names, tmp_path / "one.npy", 1) == decode(archive, names, tmp_path / "two.npy", 3)


def test_every_unreadable_image_is_named_in_one_error(drawn: Cells, tmp_path: Path) -> None:
    broken = {3: b"not an image", 77: drawn[77][1][:200], 200: b""}
    write_archive(tmp_path / "cells.zip", [(name, broken.get(n, png)) for n, (name, png) in enumerate(drawn)])
    with pytest.raises(ValueError, match="3 of the images") as refused:
        list(decode_archive(tmp_path / "cells.zip", [name for name, _ in drawn], tmp_path / "out", 32, "pad", 2))
    assert all(drawn[n][0] in str(refused.value) for n in broken)
    assert drawn[4][0] not in str(refused.value)
