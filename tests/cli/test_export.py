"""An exported model says in onnxruntime what it says in torch, in both sizes, and carries its card."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from malaria import load_model
from malaria.cli.__main__ import main
from malaria.core.errors import UserError
from malaria.data.decode import Pixels, to_square
from tests.support.models import make_model
from tests.support.scratch import ROOT

Cells = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def pixels(drawn: Cells) -> Pixels:
    return np.stack([to_square(Image.open(io.BytesIO(png)), 32, "stretch") for _, png in drawn])


@pytest.fixture
def workspace(pixels: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place with cells of train and test, and no model."""
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data/cells.npy", pixels)
    rows = [f"{n},{n % 2},{('train', 'test')[n % 3 == 0]}" for n in range(len(pixels))]
    (tmp_path / "data/split.csv").write_text("\n".join(["name,label,split", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arch", "tta"),
    [
        ("simple_cnn", False),
        pytest.param("small_resnet", True, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_small", False, marks=pytest.mark.slow),
    ],
)
def test_it_says_what_torch_says_for_any_number_of_cells(
    arch: str, tta: bool, pixels: Pixels, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_model(workspace / "model", arch, tta=tta, temperature=0.5)
    main(["export", "--model", str(folder), "--onnx", "model.onnx"])
    assert "on the 80 cells of test in data/cells.npy" in capsys.readouterr().out
    torch_model, onnx_model = load_model(folder), load_model("model.onnx")
    assert onnx_model.card == torch_model.card
    for number in (1, 7, 240):
        for ours, theirs in zip(torch_model.score(pixels[:number]), onnx_model.score(pixels[:number]), strict=True):
            assert np.abs(ours - theirs).max() < 1e-4
    assert onnx_model.predict([]).empty


@pytest.mark.slow
def test_the_file_stands_for_itself(workspace: Path) -> None:
    main(["export", "--model", str(make_model(workspace / "model")), "--onnx", "model.onnx"])
    model = onnx.load("model.onnx")
    onnx.checker.check_model(model)
    (cells,) = model.graph.input
    assert cells.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_value or "any" for d in cells.type.tensor_type.shape.dim] == ["any", 32, 32, 3]
    assert [output.name for output in model.graph.output] == ["probability", "deviations"]
    assert str(ROOT).encode() not in Path("model.onnx").read_bytes()


@pytest.mark.slow
def test_in_8_bits_it_is_smaller_and_says_nearly_the_same(
    pixels: Pixels, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_model(workspace / "model")
    main(["export", "--model", str(folder), "--onnx", "whole.onnx"])
    main(["export", "--model", str(folder), "--onnx", "small.onnx", "--int8"])
    table = capsys.readouterr().out
    assert [line.split()[:2] for line in table.splitlines() if "onnx int8" in line] == [["onnx", "int8"]]
    assert Path("small.onnx").stat().st_size < 0.4 * Path("whole.onnx").stat().st_size
    whole, small = load_model("whole.onnx"), load_model("small.onnx")
    assert small.card == whole.card
    for of_whole, of_small, tolerance in zip(whole.score(pixels), small.score(pixels), (0.02, 1e-5), strict=True):
        assert np.abs(of_whole - of_small).max() < tolerance
    assert not np.array_equal(whole.score(pixels)[0], small.score(pixels)[0])


@pytest.mark.slow
def test_without_cells_drawn_ones_are_compared_and_8_bits_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = str(make_model(tmp_path / "model"))
    main(["export", "--model", folder, "--onnx", "model.onnx"])
    assert "on 200 drawn cells, since data/cells.npy and data/split.csv are not here" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"are not here: `uv run dvc pull data/cells\.npy"):
        main(["export", "--model", folder, "--onnx", "small.onnx", "--int8"])
    assert not Path("small.onnx").exists()


@pytest.mark.slow
def test_onnxruntime_reports_nothing_of_its_use(workspace: Path) -> None:
    folder = make_model(workspace / "model")
    home = workspace / "home"
    home.mkdir()
    code = f"from malaria.cli.__main__ import main; main(['export', '--model', {str(folder)!r}, '--onnx', 'model.onnx', '--int8'])"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"HOME": str(home), "CI": ""})
    assert [path for path in home.rglob("*") if "icrosoft" in str(path) or "onnx" in str(path)] == []


def test_what_is_no_exported_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"none\.onnx: no such file; `uv run --extra onnx malaria export --onnx none"):
        load_model("none.onnx")
    Path("text.onnx").write_text("no model")
    with pytest.raises(UserError, match=r"text\.onnx: not a model that `malaria export` wrote"):
        load_model("text.onnx")
    with pytest.raises(UserError, match=r"--onnx model\.bin: give the file a name that ends in \.onnx"):
        main(["export", "--model", str(make_model(tmp_path / "model")), "--onnx", "model.bin"])
