"""Boxes in photographs label the red cells that they mark, and those that mark none are told."""

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from malaria.core.archive import open_archive
from malaria.core.errors import UserError
from malaria.data.index import read_index
from malaria.sources import _photographs
from malaria.sources._photographs import match_boxes
from malaria.sources.own import read_labels, write_labelled
from tests.support.photographs import SIZE, add_photographs, centres

CLASSES = ["healthy", "infected"]


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes take seconds to start."""
    monkeypatch.setattr(_photographs, "count_cores", lambda: 1)


def cut(table: pd.DataFrame, lab: Path, out: Path) -> pd.DataFrame:
    """Write the table as labels.csv, and the cells as an archive; their index."""
    table.to_csv(lab / "labels.csv", index=False)
    return write_labelled(read_labels(lab, CLASSES), out / "cells.zip")


def true_labels(index: pd.DataFrame, truth: pd.DataFrame) -> list[int]:
    """The label of the true cell nearest to the centre of each."""
    labels = []
    for photo, centre in zip(index.photo, centres(index), strict=True):
        boxes = truth[truth.photo == photo]
        nearest = np.hypot(*(np.array(centres(boxes)) - centre).T).argmin()
        labels.append(CLASSES.index(boxes.label.iloc[nearest]))
    return labels


def test_each_cell_has_the_label_of_its_box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = add_photographs(tmp_path, "a.png", "b/c.png")
    index = cut(truth, tmp_path, tmp_path / "out")
    assert len(index) > 0.9 * len(truth)
    assert index.label.tolist() == true_labels(index, truth)
    assert index.columns.tolist() == ["name", "label", "patient", "photo", "x", "y", "width", "height"]
    assert set(index.photo) == set(index.patient) == {"a.png", "b/c.png"}
    lost = len(truth) - len(index)
    assert (f"{lost} of {len(truth)}" in capsys.readouterr().err) == (lost > 0)


def test_the_archive_has_the_cells_cut_out_in_the_order_of_the_index(tmp_path: Path) -> None:
    index = cut(add_photographs(tmp_path, "a.png"), tmp_path, tmp_path / "out")
    archive, photo = open_archive(tmp_path / "out/cells.zip"), np.asarray(Image.open(tmp_path / "a.png"))
    assert archive.namelist() == index.name.tolist() == sorted(set(index.name))
    for cell in index.itertuples():
        pixels = np.asarray(Image.open(io.BytesIO(archive.read(cell.name))))
        if pixels.shape[:2] != (cell.height, cell.width):
            pixels = pixels[1:-1, 1:-1]  # a frame around a cell in a corner
        there = photo[cell.y : cell.y + cell.height, cell.x : cell.x + cell.width]
        lit = pixels.any(-1)
        assert 0.4 < lit.mean() < 0.95
        assert (np.abs(pixels[lit].astype(int) - there[lit]) <= 20).all()


def test_the_index_is_read_back_as_it_was(tmp_path: Path) -> None:
    index = cut(add_photographs(tmp_path, "a.png"), tmp_path, tmp_path / "out")
    index.to_csv(tmp_path / "cells.csv", index=False)
    pd.testing.assert_frame_equal(read_index(tmp_path / "cells.csv"), index, check_dtype=False)


def test_the_order_of_the_rows_and_the_number_of_processes_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = add_photographs(tmp_path, "a.png", "b.png")
    index = cut(truth, tmp_path, tmp_path / "one")
    monkeypatch.setattr(_photographs, "count_cores", lambda: 2)
    again = cut(truth[::-1], tmp_path, tmp_path / "two")
    assert again.equals(index)
    assert (tmp_path / "two/cells.zip").read_bytes() == (tmp_path / "one/cells.zip").read_bytes()


def test_a_box_on_background_is_left_out_and_its_photograph_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = add_photographs(tmp_path, "a.png", "b.png", cells=12)
    index = cut(truth, tmp_path, tmp_path / "out")
    before = len(truth) - len(index)
    capsys.readouterr()
    free = find_background(truth[truth.photo == "b.png"])
    more = pd.concat([truth, pd.DataFrame([{"photo": "b.png", **free, "label": "infected"}])])
    assert len(cut(more, tmp_path, tmp_path / "out")) == len(index)
    output = capsys.readouterr().err
    assert f"{before + 1} of {len(truth) + 1}" in output
    assert re.search(r"b\.png: \d+ of 13", output)


def find_background(boxes: pd.DataFrame) -> dict[str, int]:
    """A box in the photograph that overlaps none of these."""
    side = 24
    return next(
        {"x": x, "y": y, "width": side, "height": side}
        for y in range(0, SIZE[1] - side, 4)
        for x in range(0, SIZE[0] - side, 4)
        if not (
            (boxes.x < x + side) & (boxes.x + boxes.width > x) & (boxes.y < y + side) & (boxes.y + boxes.height > y)
        ).any()
    )


def test_cells_without_a_box_are_left_out(tmp_path: Path) -> None:
    truth = add_photographs(tmp_path, "a.png")
    few = truth.groupby("label").head(3)
    assert len(cut(few, tmp_path, tmp_path / "out")) <= 6


def test_boxes_drawn_by_hand_match_too(tmp_path: Path) -> None:
    truth = add_photographs(tmp_path, "a.png")
    index = cut(truth, tmp_path, tmp_path / "out")
    shifts = np.random.default_rng(0).integers(-3, 4, (len(truth), 4)) + np.array([-3, -3, 6, 6])
    drawn = truth.assign(
        **dict(zip(["x", "y", "width", "height"], (truth.iloc[:, 1:5] + shifts).to_numpy().T, strict=True))
    )
    by_hand = cut(drawn, tmp_path, tmp_path / "out")
    assert by_hand.label.tolist() == true_labels(by_hand, truth)
    assert len(by_hand) == len(index)


def test_boxes_of_another_scale_are_refused_and_leave_the_archive_as_it_was(tmp_path: Path) -> None:
    truth = add_photographs(tmp_path, "a.png")
    (tmp_path / "cells.zip").write_text("old")
    with pytest.raises(UserError, match="20 of 20"):
        cut(truth.assign(x=truth.x + 2000), tmp_path, tmp_path)
    assert (tmp_path / "cells.zip").read_text() == "old"


def test_every_photograph_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    truth = add_photographs(tmp_path, "a.png", "b.png", "c.png", cells=5)
    for name in ("a.png", "c.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:2000])
    with pytest.raises(UserError) as refused:
        cut(truth, tmp_path, tmp_path / "out")
    assert [name for name in ("a.png", "b.png", "c.png") if name in str(refused.value)] == ["a.png", "c.png"]


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64)])
def test_a_photograph_without_cells_matches_nothing(size: tuple[int, int], tmp_path: Path) -> None:
    truth = add_photographs(tmp_path, "a.png")
    Image.new("RGB", size, (230, 220, 200)).save(tmp_path / "b.png")
    more = pd.concat([truth, truth[:3].assign(photo="b.png")])
    assert set(cut(more, tmp_path, tmp_path / "out").photo) == {"a.png"}


# Matching, by hand


def test_pairs_have_the_greatest_sum_of_overlaps() -> None:
    cells = np.array([[0, 0, 10, 10], [6, 0, 10, 10], [50, 50, 10, 10.0]])
    boxes = np.array([[4, 0, 10, 10], [7, 0, 10, 10.0]])  # both overlap the second cell most
    rows, matched = match_boxes(boxes, cells)
    assert dict(zip(rows.tolist(), matched.tolist(), strict=True)) == {0: 0, 1: 1}


def test_too_little_overlap_is_no_match_and_takes_no_cell_from_another() -> None:
    cells = np.array([[0, 0, 10, 10.0]])
    assert match_boxes(np.array([[6, 0, 10, 10.0]]), cells)[0].tolist() == []  # 40 of 160
    assert match_boxes(np.array([[6, 0, 10, 10], [5, 0, 10, 10.0]]), cells)[0].tolist() == [1]  # 50 of 150
    assert match_boxes(np.zeros((0, 4)), cells)[0].tolist() == []
    assert match_boxes(cells, np.zeros((0, 4)))[0].tolist() == []
