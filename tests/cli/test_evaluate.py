"""`malaria evaluate`: what it prints, writes and refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from malaria.cli.__main__ import main
from malaria.predict.labelled import are_swapped, read_labelled
from malaria.predict.load import load_model
from malaria.sources.drawing.crops import draw_crops
from malaria.sources.drawing.labs import BLUE
from tests.support.images import empty_crop
from tests.support.models import make_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten crops of two patients, in folders of a lab's own names."""
    folder = tmp_path_factory.mktemp("evaluate") / "lab"
    for crop in draw_crops(replace(BLUE, radius=20), patients=2, cells=10, seed=2):
        path = folder / ("infected" if crop.parasitized else "healthy") / crop.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(crop.png)
    return folder


CLASSES = ("--classes", "healthy", "infected")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), temperature=1e-3, trained_on="cells of the moon")


@pytest.fixture(scope="module")
def trained(folder: Path, model: Path) -> Path:
    """A model that was trained on three of the crops."""
    cells = read_labelled(folder, CLASSES[1:], load_model(model).card.preprocess, folder.parent / "cells.zip")
    return make_model(folder.parent / "trained", hashes=cells.hashes[:3].tolist())


def evaluate(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[str, str]:
    """What the command writes to stdout and stderr."""
    main(["evaluate", *map(str, arguments)])
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_ten_cells_are_evaluated_as_text_and_json(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, _ = evaluate(capsys, folder, *CLASSES, "--model", model)
    out, _ = evaluate(capsys, folder, *CLASSES, "--model", model, "--json")
    content = json.loads(out)
    assert (content["cells"], content["groups"], content["intervals_over"]) == (10, 2, "patient")
    assert content["training_cells"] == content["unsegmented"] == 0
    assert content["tp"] + content["fn"] == content["tn"] + content["fp"] == 5
    assert content["accuracy_low"] is content["accuracy_high"] is None  # of two patients
    assert f"{100 * content['accuracy']:.2f} %" in text
    assert "10 cells of 2 patients" in text
    assert "cells of the moon" in text
    assert str(folder) in text


def test_swapped_classes_are_asked_about(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cells = read_labelled(folder, CLASSES[1:], load_model("default").card.preprocess, tmp_path / "cells.zip")
    right = load_model("default").score(cells.pixels)[0]
    assert not are_swapped(cells.index.label, right)
    assert are_swapped(cells.index.label, 1 - right)
    _, err = evaluate(capsys, folder, "--classes", "infected", "healthy", "--model", "default")
    assert "--classes" in err
    assert "--classes" not in evaluate(capsys, folder, *CLASSES, "--model", "default")[1]
    with pytest.raises(SystemExit, match="--classes"):
        main(
            [
                "adapt",
                str(folder),
                "--classes",
                "infected",
                "healthy",
                "--model",
                "default",
                "--out",
                str(tmp_path / "out"),
            ]
        )
    assert not (tmp_path / "out").exists()


def test_a_table_without_patients_has_intervals_that_are_said_to_be_too_narrow(
    folder: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{path},{path.parts[-3]}" for path in sorted(folder.rglob("*.png"))]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label", *rows]))
    text, _ = evaluate(capsys, tmp_path / "labels.csv", *CLASSES, "--model", model)
    assert "too narrow" in text
    assert "10 cells, patients unknown" in text


def test_training_cells_are_refused_unless_they_are_asked_for(
    folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (folder, *CLASSES, "--model", trained)
    with pytest.raises(SystemExit, match=r"(?s)3 of the cells .*healthy/P.*--training-cells"):
        evaluate(capsys, *arguments)
    assert "3 of the cells" in evaluate(capsys, *arguments, "--training-cells")[0]
    assert json.loads(evaluate(capsys, *arguments, "--training-cells", "--json")[0])["training_cells"] == 3


def test_crops_without_a_cell_are_named_on_stderr_and_left_out(
    folder: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in folder.rglob("*.png"):
        copy = tmp_path / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "healthy/background.png").write_bytes(empty_crop())
    text, problems = evaluate(capsys, tmp_path, *CLASSES, "--model", model)
    assert "healthy/background.png" in problems
    assert "10 cells" in text
    assert "1 crops" in text


def test_the_report_is_written_with_the_path_in_its_heading(
    folder: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "new" / "report.html"
    out, problems = evaluate(capsys, folder, *CLASSES, "--model", model, "--report", report, "--json")
    assert json.loads(out)
    assert report.as_uri() in problems
    page = report.read_text("utf-8")
    assert str(folder) in page.split('<h2 id="metrics">')[0]
    assert "cells of the moon" in page


@pytest.mark.slow
def test_of_an_onnx_model_it_is_said_that_training_cells_could_not_be_told(
    folder: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    main(["export", "--model", str(trained), "--onnx", str(tmp_path / "model.onnx")])
    report = tmp_path / "report.html"
    arguments = ("--model", tmp_path / "model.onnx", "--json", "--report", report)
    capsys.readouterr()
    out, problems = evaluate(capsys, folder, *CLASSES, *arguments)
    assert "not checked" in problems
    assert json.loads(out)["training_cells"] is None
    assert "could not be checked" in report.read_text("utf-8")


@pytest.mark.parametrize("arguments", [["no-such-folder"], [".", "--classes", "same", "same"]])
def test_what_cannot_be_read_ends_in_a_message(
    arguments: list[str], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *arguments, "--model", str(model)])
    assert arguments[0] in str(ended.value.code)
