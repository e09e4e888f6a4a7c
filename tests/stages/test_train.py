"""Training takes what the schema accepts, or stops with a message that names a key of train."""

import hashlib
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from malaria.core.artifacts import write_array, write_csv
from malaria.core.errors import UserError
from malaria.core.hashing import hash_array
from malaria.model.dataset import Cells
from malaria.model.hardware import pick_precision, prepare
from malaria.model.initial import build_initial
from malaria.model.trainer import train_epochs
from malaria.model.weights import make_config, read_model, read_training_hashes
from malaria.params import Params, Train, modules_in
from stages import train
from tests.support.models import make_model, same_weights
from tests.support.param_fields import changed, ends_of, preprocess_params
from tests.support.scratch import ROOT, Repository, Scratch

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
    config = make_config(params, preprocess_params(size), precision)
    random = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (3 * count, size, size, 3), generator=random, dtype=torch.uint8)
    rows = {"train": torch.arange(2 * count), "val": torch.arange(2 * count, 3 * count)}
    cells = Cells(pixels, (torch.arange(3 * count) % 2).float(), rows)
    return list(train_epochs(build_initial(config, params), cells, params, precision))


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


@pytest.mark.exhaustive
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


@pytest.mark.slow
def test_a_pretrained_network_is_frozen_for_all_but_an_epoch(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(get_model("mobilenet_v3_small").state_dict(), path)
    for epochs, freeze in ((1, 0), (3, 2)):
        assert trains(arch="mobilenet_v3_small", init=str(path), epochs=epochs, freeze=freeze)


@pytest.fixture
def cells(workspace: Path) -> np.ndarray:
    """The pixels of 24 cells of 32 px of all splits, which the stage finds in its folder."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    write_array(Path("data/cells.npy"), pixels)
    splits = ["train"] * 12 + ["val"] * 6 + ["test"] * 4 + ["dropped"] * 2
    rows = [(f"{n}.png", n % 2, f"C{n}", split) for n, split in enumerate(splits)]
    write_csv(Path("data/split.csv"), pd.DataFrame(rows, columns=["name", "label", "patient", "split"]))
    shutil.copy(ROOT / "dvc.yaml", workspace)
    return pixels


def run_stage(**changes: Any) -> None:
    few = {"preprocess.size": 32, "train.epochs": 1, "train.batch_size": 8, "train.precision": "fp32"}
    train.main(Params.model_validate(changed(few | {f"train.{key}": value for key, value in changes.items()})))


def test_a_training_at_next_to_no_rate_stays_at_the_model_that_it_starts_from(
    cells: np.ndarray, workspace: Path
) -> None:
    start = make_model(workspace / "start")
    run_stage(seed=1, init="start", lr=1e-9, weight_decay=0.0)
    (first, _), (model, config) = read_model(start / "model.safetensors"), read_model(Path(MODEL))
    named = dict(first.named_parameters())
    assert all(torch.allclose(weight, named[name], atol=1e-6) for name, weight in model.named_parameters())
    assert config.init_sha256 == hashlib.sha256((start / "model.safetensors").read_bytes()).hexdigest()
    run_stage(seed=1, lr=1e-9, weight_decay=0.0)
    fresh, config = read_model(Path(MODEL))
    assert not same_weights(fresh, model)
    assert config.init_sha256 is None


def test_the_model_has_the_hashes_of_the_cells_of_train_and_val_alone(cells: np.ndarray) -> None:
    run_stage()
    assert sorted(read_training_hashes(Path(MODEL)).tolist()) == sorted(hash_array(cell) for cell in cells[:18])


def test_a_model_that_does_not_fit_or_is_not_there_stops_the_stage_before_it_trains(
    cells: np.ndarray, workspace: Path
) -> None:
    make_model(workspace / "start", size=48)
    for init in ("start", "nowhere/model.safetensors"):
        with pytest.raises(UserError, match=rf"train\.init: {init}"):
            run_stage(init=init)
    assert not Path(MODEL).exists()


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
    start = {"arch: small_resnet": "arch: mobilenet_v3_small", "init: inputs/none": f"init: {tmp_path}/nan.safetensors"}
    scratch.set_params(start)
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
