"""Training takes what the schema accepts, or stops with a message that names a key of train."""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from malaria.core.errors import UserError
from malaria.model.dataset import Cells
from malaria.model.hardware import pick_precision, prepare
from malaria.model.trainer import train_epochs
from malaria.model.weights import build_from_config, load_pretrained, make_config
from malaria.params import Preprocess, Train, modules_in
from tests.support.param_fields import changed, ends_of
from tests.support.scratch import Repository, Scratch

MODEL = "models/model.safetensors"


@pytest.fixture(autouse=True)
def _deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # two threads spin where another test works
    yield
    torch.use_deterministic_algorithms(False)


def train_few(size: int = 32, count: int = 8, **changes: Any) -> list[dict[str, float]]:
    """The epochs of a training, as in the stage, on noise: twice `count` cells, and `count` for val."""
    params = Train(**changed({"train.epochs": 1, "train.batch_size": 8})["train"] | changes)
    prepare(params.seed)
    precision = pick_precision(params.precision, torch.device("cpu"))
    config = make_config(params, Preprocess(size=size, fit="stretch"), precision)
    random = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (3 * count, size, size, 3), generator=random, dtype=torch.uint8)
    rows = {"train": torch.arange(2 * count), "val": torch.arange(2 * count, 3 * count)}
    cells = Cells(pixels, (torch.arange(3 * count) % 2).float(), rows)
    return list(train_epochs(build_from_config(config, load_pretrained(params)), cells, params, precision))


def trains(**changes: Any) -> bool:
    """Whether it does, with finite metrics; else the message names a key of train."""
    try:
        epochs = train_few(**changes)
    except UserError as refusal:
        message = str(refusal)
    else:
        assert all(math.isfinite(value) for epoch in epochs for value in epoch.values())
        return True
    assert "train." in message
    return False


@pytest.mark.slow
def test_every_choice_and_both_ends_of_every_range_train_or_are_refused_by_name() -> None:
    cases = [{key: value} for key, values in ends_of("train").items() if key != "freeze" for value in values]
    cases += [
        {key: value, "optimizer": optimizer, "schedule": schedule}
        for key in ("lr", "weight_decay")
        for value in ends_of("train")[key]
        for optimizer in ("adam", "sgd")
        for schedule in ("constant", "one_cycle")
    ]
    cases += [{"augment": augment, "batch_size": size} for augment in ends_of("train")["augment"] for size in (2, 3)]
    refused = [case for case in cases if case != {"epochs": 1000} and not trains(**case)]
    assert all("lr" in case or "weight_decay" in case for case in refused)  # at 1e30


def test_a_pretrained_network_is_frozen_for_all_but_an_epoch(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(get_model("mobilenet_v3_small").state_dict(), path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    for epochs, freeze in ((1, 0), (3, 2)):
        start = {"arch": "mobilenet_v3_small", "weights": str(path), "weights_sha256": sha256}
        assert trains(**start, epochs=epochs, freeze=freeze)


@pytest.mark.exhaustive
def test_a_thousand_epochs_and_every_network_at_512_px_train() -> None:
    assert len(train_few(count=2, epochs=1000, augment="none")) == 1000
    for arch in modules_in("architectures"):
        assert len(train_few(512, count=2, arch=arch)) == 1


@pytest.mark.slow
def test_a_training_that_diverges_writes_no_model(scratch: Repository) -> None:
    output = scratch.run("dvc exp run -S train.epochs=3 -S train.lr=100 -S train.optimizer=sgd", status=255)
    assert "Traceback" not in output
    (line,) = (line for line in output.splitlines() if line.startswith("train: "))
    assert "train.lr" in line
    assert not (scratch.path / MODEL).exists()


@pytest.mark.slow
def test_nan_in_the_weights_to_start_from_is_told(scratch: Repository, tmp_path: Path) -> None:
    weights = get_model("mobilenet_v3_small").state_dict()
    weights["features.0.0.weight"][0, 0, 0, 0] = float("nan")
    save_file(weights, tmp_path / "nan.safetensors")
    sha256 = hashlib.sha256((tmp_path / "nan.safetensors").read_bytes()).hexdigest()
    changes = {"arch: small_resnet": "arch: mobilenet_v3_small", "weights_sha256: null": f"weights_sha256: {sha256}"}
    scratch.set_params(changes | {"weights: null": f"weights: {tmp_path}/nan.safetensors"})
    before = (scratch.path / MODEL).read_bytes()
    output = scratch.run("python -m stages train", status=1)
    assert "Traceback" not in output
    assert "train: training stopped in epoch 1 at step 1 of" in output
    assert (scratch.path / MODEL).read_bytes() == before


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("patients", "cells", "folds", "val", "more"),
    [
        (10, 100, 2, 0.5, "tta: true"),
        (25, 100, 2, 0.5, "abstain: 0.999"),
        (10, 100, 7, 0.17, "ood: 0.999"),
        (200, 800, 20, 0.02, "label_error: 0.499"),
    ],
)
def test_the_pipeline_runs_on_the_fewest_cells(
    patients: int, cells: int, folds: int, val: float, more: str, tmp_path: Path
) -> None:
    scratch = Scratch(tmp_path / "scratch")
    scratch.set_params(
        {
            "source: nih ": "source: synthetic ",
            "patients: 12 ": f"patients: {patients} ",
            "cells: 240 ": f"cells: {cells} ",
            "folds: 3 ": f"folds: {folds} ",
            "val: 0.3 ": f"val: {val} ",
            rf"{more.split(':')[0]}: \S+": more,
        }
    )
    assert "Traceback" not in scratch.run("uv run dvc repro")
