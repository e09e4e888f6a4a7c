"""The preprocess stage refuses what is no cell, and cells with two labels; it reports copies."""

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from malaria.core.archive import write_archive
from malaria.core.artifacts import write_csv
from malaria.core.errors import UserError
from malaria.params import Params
from malaria.smear.crops import decode
from malaria.sources.nih import make_index
from stages import preprocess
from tests.support.images import empty_crop, encode, with_background
from tests.support.param_fields import changed, preprocess_params

Cells = dict[str, bytes]


@pytest.fixture
def cells(drawn: list[tuple[str, bytes]], workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Cells:
    """Some drawn cells of each class; cells.npy has something else in it."""
    monkeypatch.setattr(preprocess, "count_cores", lambda: 1)
    Path("data/cells.npy").write_text("old")
    return dict(drawn[:20] + drawn[-20:])


def run(cells: Cells, mask: str = "auto") -> None:
    write_archive(Path("data/cells.zip"), sorted(cells.items()))
    write_csv(Path("data/cells.csv"), make_index(cells))
    preprocess.main(Params.model_validate(changed({"preprocess.size": 32, "preprocess.mask": mask})))


def refuse(cells: Cells) -> str:
    with pytest.raises(UserError) as refused:
        run(cells)
    assert Path("data/cells.npy").read_text() == "old"
    assert not list(Path("data").glob("*.tmp"))
    return str(refused.value)


def test_rows_are_in_the_order_of_the_index(cells: Cells, capsys: pytest.CaptureFixture[str]) -> None:
    last = sorted(cells)[-1]
    again = last.replace("_cell_", "_again_cell_")
    run(cells | {again: cells[last]})
    pixels, index = np.load("data/cells.npy"), make_index([*cells, again])
    assert len(pixels) == len(index) == 41
    for row in (0, 40):
        assert (pixels[row] == decode((cells | {again: cells[last]})[index.name[row]], preprocess_params())).all()
    said = capsys.readouterr().out
    assert again in said  # with the same pixels as another
    assert last in said


def unsegmented() -> list[str]:
    return pd.read_csv("data/unsegmented.csv", dtype=str).name.tolist()


def test_the_crops_in_which_no_cell_is_found_are_listed_and_have_a_row_all_the_same(cells: Cells) -> None:
    run(cells)
    assert unsegmented() == []  # they are cut out already
    empty = {name: empty_crop(seed) for seed, name in enumerate([*cells][5:30:8])}
    crops = {name: with_background(data) for name, data in cells.items()} | empty
    run(crops)
    assert unsegmented() == sorted(empty)
    assert len(np.load("data/cells.npy")) == len(cells)
    run(crops, mask="none")
    assert unsegmented() == []


def test_every_image_that_is_no_cell_is_named(cells: Cells) -> None:
    broken = [*cells][3:33:10]
    message = refuse(cells | dict(zip(broken, [b"", b"%PDF", encode(Image.new("RGB", (9, 9), "pink"))], strict=True)))
    assert [name for name in cells if name in message] == broken


def test_the_same_pixels_in_both_classes_are_refused_by_name(cells: Cells) -> None:
    infected = [name for name in cells if name.startswith("Parasitized")][:3]
    others = {  # other bytes of the same pixels
        name.replace("Parasitized", "Uninfected"): encode(Image.open(io.BytesIO(cells[name])), compress_level=1)
        for name in infected
    }
    message = refuse(cells | others)
    assert re.search(r"\b3 of", message)
    assert all(f"{one} = {other}" in message for one, other in zip(infected, others, strict=True))
