"""Numerical trouble.

Training stops with the epoch, the step and the last good figure, and no model is written.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from test_training import QUICK, make_cells, run, with_params
from torchvision.models import get_model

from malaria.model.hardware import prepare
from tests.support.fault_table import Survived
from tests.support.scratch import Repository

MODEL = "models/model.safetensors"


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    prepare(0)
    torch.set_num_threads(1)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.slow
def test_the_loss_explodes(scratch: Repository, survived: Survived) -> None:
    good = (scratch.path / MODEL).read_bytes()
    output = scratch.run("dvc exp run -S train.epochs=3 -S train.lr=100 -S train.optimizer=sgd", status=255)
    assert "Traceback" not in output
    (line,) = (line for line in output.splitlines() if line.startswith("training stopped in "))
    assert "No model is written. Lower train.lr, which is" in line
    assert not (scratch.path / MODEL).exists()
    scratch.run("git restore . && dvc checkout models/model.safetensors")
    assert (scratch.path / MODEL).read_bytes() == good
    survived("the loss explodes", "`dvc exp run -S train.lr=100 -S train.optimizer=sgd`", line)


@pytest.mark.slow
def test_weights_to_begin_with_are_no_numbers(scratch: Repository, tmp_path: Path, survived: Survived) -> None:
    weights = get_model("mobilenet_v3_small").state_dict()
    weights["features.0.0.weight"][0, 0, 0, 0] = float("nan")
    save_file(weights, tmp_path / "nan.safetensors")
    changes = {"arch: small_resnet": "arch: mobilenet_v3_small", "pretrained: false": "pretrained: true"}
    scratch.set_params(changes | {"weights: null": f"weights: {tmp_path}/nan.safetensors"})
    output = scratch.run("python -m stages.train", status=1)
    assert "Traceback" not in output
    (line,) = (line for line in output.splitlines() if line.startswith("training stopped in epoch 1 at step 1 of"))
    survived("a NaN in what goes in", "weights of ImageNet with one, in train.weights", line)


def test_cells_that_are_all_the_same_have_a_loss(survived: Survived) -> None:
    cells = make_cells(32, 8)
    cells.pixels[:] = 0
    _, figures = run(with_params(**QUICK), cells)
    assert 0.3 < figures[-1]["val/loss"] < 3
    survived("images of one colour", "training on black ones alone", "trains; preprocess refuses such images by name")
