"""The images of an archive become rows of pixels, on any number of cores, and those that are no cells are named."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from malaria.core.archive import write_archive
from malaria.data.decode import read_image, to_square
from malaria.smear.archive import decode_archive
from malaria.smear.crops import decode
from tests.support.images import empty_crop, encode, two_colors, with_background, with_wrong_crc
from tests.support.param_fields import preprocess_params

Cells = list[tuple[str, bytes]]


def rows_of(archive: Path, names: list[str], out: Path, workers: int) -> bytes:
    parts = list(decode_archive(archive, names, out, preprocess_params(), workers))
    hashes = np.concatenate([part for part, _ in parts])
    assert not any(unsegmented for _, unsegmented in parts)
    assert len(set(hashes)) == len(names)
    return out.read_bytes()


def test_rows_are_in_the_order_of_the_names_on_any_number_of_cores(drawn: Cells, archive: Path, tmp_path: Path) -> None:
    names = [name for name, _ in drawn][::-1]
    content = rows_of(archive, names, tmp_path / "one.npy", 1)
    assert rows_of(archive, names, tmp_path / "two.npy", 2) == content
    rows, pngs = np.load(tmp_path / "one.npy", mmap_mode="r"), dict(drawn)
    assert rows.shape == (240, 32, 32, 3)
    for row in (0, 100, 239):
        assert (rows[row] == decode(pngs[names[row]], preprocess_params())).all()


def test_every_image_that_is_no_cell_is_named_in_one_error(drawn: Cells, tmp_path: Path) -> None:
    broken = {
        3: b"not an image",
        77: drawn[77][1][:200],
        90: with_wrong_crc(drawn[90][1]),
        200: encode(Image.new("RGB", (1, 1), "red")),
    }
    path, names = tmp_path / "cells.zip", [name for name, _ in drawn]
    write_archive(path, [(name, broken.get(n, png)) for n, (name, png) in enumerate(drawn)])
    with pytest.raises(ValueError, match=r"^4 ") as refused:
        list(decode_archive(path, names, tmp_path / "out", preprocess_params(fit="pad"), 2))
    assert [name for name in names if name in str(refused.value)] == [names[n] for n in broken]


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cells.zip"
    write_archive(path, [("a.png", two_colors(1)), ("b.png", two_colors(2))])
    path.write_bytes(path.read_bytes().replace(two_colors(2), bytes(len(two_colors(2)))))
    assert zipfile.ZipFile(path).testzip() == "b.png"
    with pytest.raises(ValueError, match=r"b\.png"):
        list(decode_archive(path, ["a.png", "b.png"], tmp_path / "out", preprocess_params(), 1))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_crops_without_a_cell_are_named_in_order_and_their_rows_hold_the_whole_crop(
    workers: int, drawn: Cells, tmp_path: Path
) -> None:
    files = {f"{n:03}.png": with_background(png) for n, (_, png) in enumerate(drawn[:20])}
    empty = {f"{n:03}.png": empty_crop(n) for n in (4, 11, 12)}
    files = dict(sorted((files | empty).items()))
    path, out = tmp_path / "cells.zip", tmp_path / "out.npy"
    write_archive(path, files.items())
    ((hashes, unsegmented),) = decode_archive(path, [*files], out, preprocess_params(), workers)
    assert unsegmented == [*empty]
    assert len(set(hashes)) == len(files)
    rows = np.load(out)
    for row, (name, data) in enumerate(files.items()):
        whole = to_square(read_image(data), 32, "stretch")
        assert (rows[row] == whole).all() == (name in empty)
        assert name in empty or (rows[row] == decode(data, preprocess_params())).all()
    ((_, none),) = decode_archive(path, [*files], out, preprocess_params(mask="none"), workers)
    assert none == []
