"""The changes of images that may mislead a model, and the table of what they do to its predictions."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import robustness
from bench.robustness import CHANGES, measure, render
from malaria.data.decode import Pixels, to_square
from malaria.sources.nih import make_index
from tests.support.models import make_model

Cells = list[tuple[str, bytes]]
BEFORE_THE_CUT = ["blur", "noise", "darker", "brighter", "white balance"]


@pytest.fixture(scope="module")
def cells(drawn: Cells) -> list[Pixels]:
    return [np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for _, png in drawn[::20]]


def changed(cell: Pixels, change: str) -> list[Pixels]:
    """At each strength."""
    act, _, strengths = CHANGES[change]
    return [act(cell, strength, np.random.default_rng(0)) for strength in strengths]


@pytest.mark.parametrize("change", CHANGES)
def test_each_strength_changes_a_cell_more_than_the_one_before(change: str, cells: list[Pixels]) -> None:
    distances = np.zeros(len(CHANGES[change][2]))
    for cell in cells:
        plain = to_square(Image.fromarray(cell), 64, "stretch").astype(float)
        squares = [to_square(Image.fromarray(other), 64, "stretch") for other in changed(cell, change)]
        distances += [np.abs(square - plain).mean() for square in squares]
    assert (np.diff(distances, prepend=0) > 0).all()


@pytest.mark.parametrize("change", BEFORE_THE_CUT)
def test_what_comes_before_the_cut_keeps_the_outside_black(change: str, cells: list[Pixels]) -> None:
    for cell in cells:
        assert all((other[cell.max(2) == 0] == 0).all() for other in changed(cell, change))


def test_a_blurred_cell_has_no_dark_rim() -> None:
    cell = np.zeros((60, 60, 3), np.uint8)
    cell[10:50, 10:50] = 180, 150, 160
    assert all(np.array_equal(other, cell) for other in changed(cell, "blur"))


def test_padding_changes_nothing_but_the_outside(cells: list[Pixels]) -> None:
    for cell in cells:
        outside = cell.max(2) == 0
        for other, grey in zip(changed(cell, "padding"), CHANGES["padding"][2], strict=True):
            assert np.array_equal(other[~outside], cell[~outside])
            assert (other[outside] == grey).all()


def test_a_turned_cell_is_cut_out_as_closely_as_before(cells: list[Pixels]) -> None:
    for cell in cells:
        for other in changed(cell, "rotation"):
            within = other.max(2) > 0
            assert all(edge.any() for edge in (within[0], within[-1], within[:, 0], within[:, -1]))


@pytest.mark.slow
def test_the_table_has_a_row_for_each_change_and_is_reproducible(
    drawn: Cells, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustness, "CHANGES", {name: CHANGES[name] for name in ("noise", "padding")})
    cells = make_index(name for name, _ in drawn[::4])
    model = str(make_model(tmp_path / "model", temperature=1e-3, ood_limit=0.0))
    table = measure(model, archive, cells, map)
    assert table["change"].tolist() == ["none"] + ["noise"] * 3 + ["padding"] * 3
    assert table.difference[0] == 0
    assert table.difference.to_numpy() == pytest.approx(table.accuracy.to_numpy() - table.accuracy[0])
    assert (table.difference_low <= table.difference).all()
    assert (table.ood_rate > 0.9).all()
    assert measure(model, archive, cells, map).equals(table)
    lines = render(table).splitlines()
    assert len(lines) == 2 + len(table)
    assert "grey 255" in lines[-1]
