import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from malaria.core.errors import UserError
from malaria.data.index import CLASSES
from malaria.lab.lab import Lab
from malaria.lab.photographs import clean_name
from malaria.lab.sheets import read_pixels
from malaria.lab.worker import open_model
from malaria.predict.load import load_model
from malaria.slide.parasitemia import Parasitemia
from tests.support.labs import opened
from tests.support.models import make_model

READER = "reader-1"


def drop(lab: Lab, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        lab.receive(name, data)


def label_all(lab: Lab, reader: str = READER) -> None:
    """Label the cells of crops as their names say."""
    for entry in lab.done:
        assert entry.called
        for row, image in enumerate(entry.called.sheet.table.image):
            lab.label(reader, entry.name, row, CLASSES["Parasitized" in image], "random")


@pytest.fixture
def crops(drawn: list[tuple[str, bytes]]) -> dict[str, bytes]:
    """Twelve of each class, named after it."""
    return {name.replace("/", "-"): data for name, data in drawn[:12] + drawn[-12:]}


def test_the_cells_of_a_photograph_are_called_as_by_predict(
    tmp_path: Path, model: Path, photographs: dict[str, bytes]
) -> None:
    with opened(tmp_path / "lab", model) as (lab, wait):
        drop(lab, photographs)
        assert lab.waiting == 2
        wait()
        called = lab.entries["IMG_1.png"].called
    assert called
    pixels = read_pixels(tmp_path / "lab/cells/IMG_1.png")
    expected = load_model(model).predict_cells(pixels)
    pd.testing.assert_frame_equal(called.calls, expected, atol=1e-5)
    assert len(called.sheet.outlines) == len(pixels) > 10
    cut = [tmp_path / "lab" / image for image in called.sheet.table.image]
    again = load_model(model).predict(cut).probability  # from the files of the cells
    np.testing.assert_allclose(again, expected.probability, atol=1e-5)


def test_crops_are_laid_out_on_one_sheet_beside_photographs(
    tmp_path: Path, model: Path, photographs: dict[str, bytes], crops: dict[str, bytes]
) -> None:
    with opened(tmp_path / "lab", model) as (lab, wait):
        drop(lab, crops | photographs)
        wait()
        assert {*lab.entries} == {"crops-1", *photographs}
        (sheet,) = [entry.called.sheet for entry in lab.done if entry.called and not entry.called.sheet.is_photograph]
        counts = {count.name: count.parasitemia for count in lab.count_photographs(READER)}
    assert len(sheet.table) == len(crops) == sheet.table.image.nunique()
    assert not sheet.table[["x", "y"]].duplicated().any()
    assert counts["crops-1"] is None
    assert isinstance(counts["IMG_1.png"], Parasitemia)


def test_a_file_that_is_no_image_is_a_line_and_the_others_are_read(
    tmp_path: Path, model: Path, photographs: dict[str, bytes]
) -> None:
    with opened(tmp_path / "lab", model) as (lab, wait):
        drop(lab, {"letter.png": b"a letter", "../../evil.png": b"", **photographs})
        wait()
        states = {name: entry.state for name, entry in lab.entries.items()}
        assert states == {"letter.png": "failed", "evil.png": "failed", "IMG_1.png": "done", "IMG_2.png": "done"}
        assert lab.entries["letter.png"].problem
        lab.dismiss()
        assert {*lab.entries} == {*photographs}
    assert {path.name for path in (tmp_path / "lab/photographs").iterdir()} == {*photographs}
    assert {path.name for path in tmp_path.iterdir()} == {"lab"}


def test_the_same_file_again_is_one_whatever_its_name_and_another_of_that_name_gets_a_number(
    tmp_path: Path, model: Path, photographs: dict[str, bytes]
) -> None:
    one, two = photographs.values()
    with opened(tmp_path, model) as (lab, wait):
        names = [lab.receive("a.png", data) for data in (one, one, two, two)]
        wait()
        names += [lab.receive("b.png", data) for data in (one, two)]
        assert names == ["a.png", "a.png", "a-2.png", "a-2.png", "a.png", "a-2.png"]
        assert len(lab.done) == 2


def test_a_photograph_is_removed_with_the_labels_of_its_cells(
    tmp_path: Path, model: Path, photographs: dict[str, bytes]
) -> None:
    with opened(tmp_path, model) as (lab, wait):
        drop(lab, photographs)
        wait()
        for reader in (READER, "another"):
            for name in photographs:
                lab.label(reader, name, 0, "Parasitized", "clicked")
        assert lab.count_labels("IMG_1.png") == 2
        lab.remove("IMG_1.png")
        for reader in (READER, "another"):
            table = pd.read_csv(tmp_path / f"labels-{reader}.csv")
            assert table.photo.tolist() == ["IMG_2.png"]
            assert (tmp_path / table.image[0]).exists()
        assert lab.undo(READER)
        assert lab.given(READER) == {}


def test_what_waits_is_cancelled(tmp_path: Path, model: Path, photographs: dict[str, bytes]) -> None:
    with opened(tmp_path, model) as (lab, wait):
        drop(lab, photographs)
        lab.cancel()
        assert lab.entries == {}
        wait()
    assert [*(tmp_path / "photographs").iterdir()] == []


def test_labels_take_the_place_of_calls_and_are_on_disk_at_once(
    tmp_path: Path, model: Path, photographs: dict[str, bytes]
) -> None:
    with opened(tmp_path, model) as (lab, wait):
        drop(lab, photographs)
        wait()
        lab.set_patients({"IMG_1.png": "P1"})
        before = lab.count_photographs(READER)[0]
        (row, *_), (other, *_) = (
            np.flatnonzero((lab.decided(lab.done[0], READER).decision == name).to_numpy()) for name in CLASSES
        )
        lab.label(READER, "IMG_1.png", int(row), "Parasitized", "clicked")
        lab.label(READER, "IMG_1.png", int(other), "not a single cell", "clicked")
        after = lab.count_photographs(READER)[0]
        assert (after.parasitized, after.cells, after.labelled) == (before.parasitized, before.cells - 1, 1)
        table = pd.read_csv(tmp_path / f"labels-{READER}.csv", keep_default_na=False)
        assert table.label.tolist() == ["Parasitized", "not a single cell"]
        assert {*table.patient} == {"P1"}
        assert [(tmp_path / image).exists() for image in table.image] == [True, True]
        assert lab.count_photographs("another")[0] == before
        assert lab.undo(READER) == table.image[1]
        assert lab.count_photographs(READER)[0].cells == before.cells


@pytest.mark.slow
def test_the_model_is_adapted_to_labels_and_an_earlier_one_can_be_used_again(
    tmp_path: Path, model: Path, crops: dict[str, bytes]
) -> None:
    with opened(tmp_path, model) as (lab, wait):
        drop(lab, crops)
        wait()
        assert lab.missing_labels(READER)
        base = lab.done[0].called
        label_all(lab)
        assert not lab.missing_labels(READER)
        lab.adapt(READER)
        assert not lab.can_adapt(READER)  # one at a time
        wait()
        assert lab.message == ""
        assert lab.source == str(tmp_path / "models/1")
        assert not lab.working
        adapted = lab.done[0].called
        assert base is not None
        assert adapted is not None
        assert not np.allclose(base.calls.probability, adapted.calls.probability)
        honest = pd.read_csv(tmp_path / "models/1/predictions.csv").set_index("name").probability >= lab.model.threshold
        images = adapted.sheet.table.image.tolist()
        assert [lab.honest_calls(images)[image] for image in images] == [CLASSES[int(honest[it])] for it in images]
        lab.use(str(model))
        wait()
        assert lab.done[0].called
        pd.testing.assert_frame_equal(lab.done[0].called.calls, base.calls)


@pytest.mark.slow
def test_an_adapted_model_that_is_worse_on_the_labels_is_kept_but_not_used(
    tmp_path: Path, model: Path, crops: dict[str, bytes]
) -> None:
    with opened(tmp_path, model) as (lab, wait):
        drop(lab, crops)
        wait()
        called = lab.done[0].called
        assert called
        for row, call in enumerate(called.calls.prediction):  # as the model has it, which no other can do better
            lab.label(READER, "crops-1", row, call, "random")
        lab.adapt(READER)
        wait()
        before, after = (lab.adapted["1"].metrics[f"{part}_balanced_accuracy"] for part in ("before", "after"))
        assert before == 1
        assert after is not None
        assert bool(lab.message) == (after < 1) == (lab.source == str(model))
        assert len(lab.models) == 2


@pytest.mark.slow
def test_a_session_goes_on_where_it_stopped(
    tmp_path: Path, model: Path, photographs: dict[str, bytes], crops: dict[str, bytes]
) -> None:
    with opened(tmp_path, model) as (lab, wait):
        drop(lab, crops | {"IMG_1.png": photographs["IMG_1.png"]})
        wait()
        lab.set_patients({"IMG_1.png": "P1"})
        label_all(lab)
        lab.adapt(READER)
        wait()
        before = lab.count_photographs(READER), lab.source
    (tmp_path / "photographs/IMG_2.png").write_bytes(photographs["IMG_2.png"])  # as if killed before it was read
    with opened(tmp_path, model) as (lab, wait):
        wait()
        assert lab.patient("IMG_1.png") == "P1"
        assert lab.source == before[1]
        counts = {count.name: count for count in lab.count_photographs(READER)}
        assert [counts[count.name] for count in before[0]] == before[0]
        assert counts["IMG_2.png"].cells > 10


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_the_file_it_was_reading_alone(
    tmp_path: Path, model: Path, photographs: dict[str, bytes]
) -> None:
    with opened(tmp_path, model, process=True) as (lab, wait):
        wait()
        (worker,) = lab._pool._processes
        os.kill(worker, signal.SIGKILL)
        drop(lab, photographs)
        wait()
        states = sorted(entry.state for entry in lab.entries.values())
        assert states in (["done", "failed"], ["done", "done"])


def test_a_model_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model"), opened(tmp_path / "lab", tmp_path):
        pass


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG_1.jpg", "IMG_1.jpg"),
        ("C:\\Users\\a\\b.png", "b.png"),
        ("../../etc/passwd", "passwd"),
        ("...", "photograph"),
        ("Präparat 3 (2).tif", "Präparat 3 (2).tif"),
        ("<b>\n.png", "_b__.png"),
        ("crops-1", "crops-1_"),
    ],
)
def test_a_files_name_is_kept_as_far_as_it_can_name_a_file_here(name: str, expected: str) -> None:
    assert clean_name(name) == expected
    assert len(clean_name(name * 100)) < 120


def test_a_model_of_drawn_cells_is_warned_of(tmp_path: Path) -> None:
    cards = {of: open_model(str(make_model(tmp_path / of, source=of))) for of in ("synthetic", "nih")}
    assert cards["synthetic"].caution
    assert not cards["nih"].caution
