"""`malaria adapt` on folders and tables: what it prints, writes and refuses."""

import json
from pathlib import Path

import pandas as pd
import pytest

from malaria.cli.__main__ import main
from malaria.predict import finetune
from malaria.sources.drawing.crops import draw_crops
from malaria.sources.drawing.labs import BLUE
from tests.support.models import make_model
from tests.support.photographs import add_photographs


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # where no data/cells.npy is
    monkeypatch.setattr("malaria.predict.adapt.FOLDS", 2)
    for name, value in {"COPIES": 64, "STEPS": 3}.items():
        monkeypatch.setattr(finetune, name, value)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A table of 24 crops of four patients, and the crops beside it."""
    rows = []
    for crop in draw_crops(BLUE, patients=4, cells=24, seed=0):
        path = tmp_path / "crops" / crop.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(crop.png)
        rows.append((f"crops/{crop.name}", "infected" if crop.parasitized else "healthy", crop.patient))
    pd.DataFrame(rows, columns=["image", "label", "patient"]).to_csv(tmp_path / "labels.csv", index=False)
    make_model(tmp_path / "models")
    return tmp_path / "labels.csv"


def adapt(labels: Path, *options: str) -> None:
    main(["adapt", str(labels), "--out", "mylab", "--classes", "healthy", "infected", *options])


def test_it_prints_before_and_after_and_writes_a_model(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapt(labels)
    printed = capsys.readouterr()
    assert all(name in printed.out for name in ("before", "after", "balanced accuracy", "24 cells of 4 patients"))
    assert "data/cells.npy" in printed.err  # without which nothing is replayed
    card = json.loads(Path("mylab/model.json").read_text())
    assert card["adaptation"]["cells"] == 24
    assert "24 cells of 4 patients" in card["trained_on"]
    main(["predict", "crops", "--model", "mylab", "--csv"])
    assert len(capsys.readouterr().out.splitlines()) == 1 + 24


def test_a_base_model_of_drawn_cells_is_said_to_be_one(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_model(Path("models"), source="synthetic")
    adapt(labels)
    assert "--model default" in capsys.readouterr().err


@pytest.mark.slow
def test_photographs_with_boxes_do_as_well_as_crops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_photographs(tmp_path, "a.png", "b.png").to_csv(tmp_path / "labels.csv", index=False)
    make_model(tmp_path / "models")
    adapt(tmp_path)
    card = json.loads(Path("mylab/model.json").read_text())["adaptation"]
    assert (card["groups"], card["group"]) == (2, "photo")
    assert 36 <= card["cells"] <= 40
    assert f"{card['cells']} cells of 2 photographs" in capsys.readouterr().out
    main(["evaluate", ".", "--model", "models", "--classes", "healthy", "infected", "--report", "report.html"])
    assert "Sensitivity" in capsys.readouterr().out


def test_two_adapted_models_can_be_compared(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapt(labels)
    main(["adapt", str(labels), "--out", "other", "--classes", "healthy", "infected", "--seed", "1"])
    capsys.readouterr()
    main(["compare", "mylab", "other", "--json"])
    one, other = json.loads(capsys.readouterr().out)
    assert one["cells"] == other["shared"] == 24


def test_a_model_that_is_not_shown_to_be_better_is_warned_of(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapt(labels)  # three steps from random weights teach nothing
    low = json.loads(Path("mylab/model.json").read_text())["adaptation"]["metrics"]["difference_balanced_accuracy_low"]
    assert ("not shown to be better" in capsys.readouterr().err) == (low is None or low <= 0)


@pytest.mark.parametrize(
    ("rows", "told"), [(slice(0, 3), "3 "), (slice(0, 0), "labels.csv")], ids=["three cells", "none"]
)
def test_too_few_cells_are_refused_and_nothing_is_written(labels: Path, rows: slice, told: str) -> None:
    table = pd.read_csv(labels)
    table = pd.concat([table[table.label == "healthy"].head(2), table[table.label == "infected"]]).iloc[rows]
    table.to_csv(labels, index=False)
    with pytest.raises(SystemExit, match=told):
        adapt(labels)
    assert not Path("mylab").exists()


def test_an_exported_model_is_refused(labels: Path) -> None:
    with pytest.raises(SystemExit, match=r"model\.onnx"):
        adapt(labels, "--model", "model.onnx")
