"""A training that was interrupted after any epoch ends with the same weights, to the last bit, as one that was not."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from malaria.model.checkpoint import Checkpoint, make_key
from tests.support.models import fit, make_cells, same_weights, train_params


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam", "schedule": "constant", "augment": "cutmix", "epochs": 1, "robust_epochs": 2},
        {"optimizer": "sgd", "augment": "robust", "arch": "simple_cnn"},
        # has dropout, which draws from torch's own random numbers
        {"arch": "mobilenet_v3_small", "freeze": 1, "weights": "imagenet"},
    ],
)
def test_an_interrupted_training_resumes_with_the_same_weights_and_metrics(
    changes: dict[str, object], tmp_path: Path
) -> None:
    params, cells = train_params(**{"epochs": 3} | changes), make_cells(48, 16)
    model, metrics = fit(params, cells)
    checkpoint = Checkpoint(tmp_path / "state.safetensors", "key")
    for epochs in (1, 2):
        assert fit(params, cells, checkpoint, stop_after=epochs)[1] == metrics[:epochs]
        torch.manual_seed(99)  # another process has its own
    resumed, all_metrics = fit(params, cells, checkpoint)
    assert all_metrics == metrics
    assert same_weights(resumed, model)
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


def test_the_best_epoch_may_be_one_before_the_interruption(tmp_path: Path) -> None:
    cells = make_cells(48, 16)
    cells.labels[cells.rows["val"]] = 1 - cells.labels[cells.rows["val"]]  # what is learned is wrong there
    params = train_params(epochs=5, arch="simple_cnn", lr=1e-3, schedule="constant")
    model, metrics = fit(params, cells)
    losses = [epoch["val/loss"] for epoch in metrics]
    assert losses.index(min(losses)) < 3
    checkpoint = Checkpoint(tmp_path / "state.safetensors", "key")
    fit(params, cells, checkpoint, stop_after=4)
    assert same_weights(fit(params, cells, checkpoint)[0], model)


@pytest.mark.parametrize(
    ("key", "damage"), [("another", bytes), ("key", lambda data: data[:-100]), ("key", lambda data: b"")]
)
def test_a_checkpoint_that_is_damaged_or_of_another_training_is_not_resumed_from(
    key: str, damage: Callable[[bytes], bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, params, cells = tmp_path / "state.safetensors", train_params(), make_cells(48, 16)
    fit(params, cells, Checkpoint(path, "key"), stop_after=1)
    path.write_bytes(damage(path.read_bytes()))
    assert same_weights(fit(params, cells, Checkpoint(path, key))[0], fit(params, cells)[0])
    assert "resuming" not in capsys.readouterr().out


def test_the_first_process_of_each_machine_writes_and_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint(tmp_path / "state.safetensors", "key")
    for rank, exists in (("1", False), ("0", True)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        fit(train_params(epochs=1), make_cells(16, 8), checkpoint)
        assert checkpoint.path.exists() == exists
    for rank, exists in (("1", True), ("0", False)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        checkpoint.remove()
        assert checkpoint.path.exists() == exists


def test_the_key_is_of_facts_and_the_content_of_files(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("1")
    key = make_key({"lr": 1.0}, [code])
    assert key == make_key({"lr": 1.0}, [code])
    assert key != make_key({"lr": 2.0}, [code])
    code.write_text("2")
    assert key != make_key({"lr": 1.0}, [code])
