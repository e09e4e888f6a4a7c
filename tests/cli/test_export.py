import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from malaria import load_model
from malaria.cli.__main__ import main
from malaria.data.decode import Pixels
from malaria.smear.crops import decode
from tests.support.models import make_model
from tests.support.param_fields import preprocess_params
from tests.support.scratch import ROOT


@pytest.fixture(scope="module")
def pixels(drawn: list[tuple[str, bytes]]) -> Pixels:
    return np.stack([decode(png, preprocess_params()) for _, png in drawn])


@pytest.fixture
def workspace(pixels: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with cells of train and test, and no model."""
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data/cells.npy", pixels)
    rows = [f"{n}.png,{n % 2},C1,{('train', 'test')[n % 3 == 0]}" for n in range(len(pixels))]
    (tmp_path / "data/split.csv").write_text("\n".join(["name,label,patient,split", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arch", "tta"),
    [
        pytest.param("simple_cnn", False, marks=pytest.mark.slow),
        pytest.param("small_resnet", True, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_small", False, marks=pytest.mark.slow),
    ],
)
def test_the_exported_model_predicts_as_torch_does(
    arch: str, tta: bool, pixels: Pixels, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_model(workspace / "model", arch, tta=tta, temperature=0.5)
    main(["export", "--model", str(folder), "--onnx", "model.onnx"])
    assert "80 cells of test" in capsys.readouterr().out
    torch_model, onnx_model = load_model(folder), load_model("model.onnx")
    assert onnx_model.card == torch_model.card
    assert onnx_model.explain is None
    for number in (1, 7, 240):
        for ours, theirs in zip(torch_model.score(pixels[:number]), onnx_model.score(pixels[:number]), strict=True):
            assert np.abs(ours - theirs).max() < 1e-4
    assert onnx_model.predict([]).empty
    model = onnx.load("model.onnx")
    onnx.checker.check_model(model)
    (cells,) = model.graph.input
    assert cells.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_value or "any" for d in cells.type.tensor_type.shape.dim] == ["any", 32, 32, 3]
    assert [output.name for output in model.graph.output] == ["probability", "scores"]
    assert str(ROOT).encode() not in Path("model.onnx").read_bytes()  # no paths of the machine that exported it


@pytest.mark.slow
def test_in_8_bits_it_is_smaller_predicts_nearly_the_same_and_reports_nothing_home(
    pixels: Pixels, workspace: Path
) -> None:
    folder = make_model(workspace / "model")
    main(["export", "--model", str(folder), "--onnx", "full.onnx"])
    home = workspace / "home"
    home.mkdir()
    run = [sys.executable, "-m", "malaria.cli", "export", "--model", str(folder), "--onnx", "small.onnx", "--int8"]
    environment = os.environ | {"HOME": str(home), "CI": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(run, check=True, env=environment, capture_output=True, text=True)
    assert "onnx int8" in done.stdout
    assert [path for path in home.rglob("*") if "icrosoft" in str(path) or "onnx" in str(path)] == []
    assert Path("small.onnx").stat().st_size < 0.4 * Path("full.onnx").stat().st_size
    full, small = load_model("full.onnx"), load_model("small.onnx")
    assert small.card == full.card
    for of_full, of_small, tolerance in zip(full.score(pixels), small.score(pixels), (0.02, 1e-5), strict=True):
        assert np.abs(of_full - of_small).max() < tolerance
    assert not np.array_equal(full.score(pixels)[0], small.score(pixels)[0])


@pytest.mark.slow
def test_without_the_cells_8_bits_are_refused_and_synthetic_ones_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = str(make_model(tmp_path / "model", "simple_cnn"))
    with pytest.raises(SystemExit, match=r"(?s)data/cells\.npy.*dvc pull"):
        main(["export", "--model", folder, "--onnx", "small.onnx", "--int8"])
    assert not Path("small.onnx").exists()
    main(["export", "--model", folder, "--onnx", "model.onnx"])
    assert "200 synthetic cells" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"model\.bin"):
        main(["export", "--model", folder, "--onnx", "model.bin"])
