"""A training that was broken off after any epoch ends with the bits of one that was not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from test_training import QUICK, make_cells, with_params

from malaria.model.checkpoint import Checkpoint, make_key
from malaria.model.dataset import Cells
from malaria.model.hardware import prepare
from malaria.model.network import build_model
from malaria.model.trainer import Figures, train_epochs
from malaria.params import Train


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    prepare(0)
    torch.set_num_threads(1)  # two that spin beside another test's get nowhere
    yield
    torch.use_deterministic_algorithms(False)


def run(
    params: Train, checkpoint: Checkpoint | None, epochs: int | None = None, cells: Cells | None = None
) -> tuple[dict[str, torch.Tensor], list[Figures]]:
    """The weights and figures of a training, broken off after so many epochs."""
    torch.manual_seed(params.seed)
    model = build_model(params.arch, 32, params.color, (0.5,) * 3, (0.5,) * 3)
    figures = []
    for epoch in train_epochs(model, cells or make_cells(48, 16), params, "fp32", checkpoint):
        figures.append(epoch)
        if len(figures) == epochs:
            break
    return model.state_dict(), figures


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam", "schedule": "constant", "augment": "cutmix"},
        {"optimizer": "sgd", "augment": "robust", "arch": "simple_cnn"},
        {"arch": "efficientnet_b0"},  # has dropout, which draws from torch's own random numbers
        {"arch": "mobilenet_v3_small", "freeze": 2, "pretrained": True},
    ],
)
def test_the_bits_are_those_of_an_unbroken_training(changes: dict[str, object], tmp_path: Path) -> None:
    params = with_params(**QUICK | {"epochs": 3} | changes)
    weights, figures = run(params, None)
    checkpoint = Checkpoint(tmp_path / "state.safetensors", "key")
    for broken_after in (1, 2):
        assert run(params, checkpoint, broken_after)[1] == figures[:broken_after]
        torch.manual_seed(99)  # another process has its own
    resumed, all_figures = run(params, checkpoint)
    assert all_figures == figures
    assert same(resumed, weights)
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


def test_the_best_epoch_may_be_one_before_the_break(tmp_path: Path) -> None:
    cells = make_cells(48, 16)
    cells.labels[cells.rows["val"]] = 1 - cells.labels[cells.rows["val"]]  # what is learned is wrong there
    params = with_params(**QUICK | {"epochs": 5, "arch": "simple_cnn", "lr": 1e-3, "schedule": "constant"})
    weights, figures = run(params, None, cells=cells)
    losses = [epoch["val/loss"] for epoch in figures]
    assert losses.index(min(losses)) < 3
    checkpoint = Checkpoint(tmp_path / "state.safetensors", "key")
    run(params, checkpoint, 4, cells)
    assert same(run(params, checkpoint, cells=cells)[0], weights)


def test_the_state_of_another_training_is_not_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, params = tmp_path / "state.safetensors", with_params(**QUICK)
    run(params, Checkpoint(path, "one"), 1)
    weights, _ = run(params, Checkpoint(path, "two"))
    assert same(weights, run(params, None)[0])
    assert "going on" not in capsys.readouterr().out


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: b"junk", lambda data: b""])
def test_a_damaged_state_is_not_taken(damage: object, tmp_path: Path) -> None:
    path, params = tmp_path / "state.safetensors", with_params(**QUICK)
    run(params, checkpoint := Checkpoint(path, "key"), 1)
    path.write_bytes(damage(path.read_bytes()))
    assert same(run(params, checkpoint)[0], run(params, None)[0])


def test_the_key_is_of_facts_and_the_content_of_files(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("1")
    key = make_key({"lr": 1.0}, [code])
    assert key == make_key({"lr": 1.0}, [code])
    assert key != make_key({"lr": 2.0}, [code])
    code.write_text("2")
    assert key != make_key({"lr": 1.0}, [code])
