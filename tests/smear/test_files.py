"""Many image files become cells, in their order, and a line for each that cannot be read."""

from pathlib import Path

import pytest

from malaria.data.image_files import find_images
from malaria.smear import files
from malaria.smear.crops import decode
from malaria.smear.files import decode_files
from tests.support.images import empty_crop, pack
from tests.support.param_fields import preprocess_params


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


def test_no_files_are_no_cells() -> None:
    assert list(decode_files([], preprocess_params(), 1)) == []
