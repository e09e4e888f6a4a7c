"""Training learns, keeps its best epoch, gives the same bits twice, and stops when it cannot go on."""

import re
from collections.abc import Iterator

import pytest
import torch

from malaria.core.errors import UserError
from malaria.model.dataset import Cells
from malaria.model.hardware import prepare
from malaria.model.inference import predict_logits
from malaria.model.network import build_model
from malaria.model.trainer import Trainer, train_epochs
from malaria.params import Train, load_params
from tests.support.scratch import ROOT

PARAMS = load_params(ROOT / "params.yaml").train
QUICK = {"epochs": 2, "batch_size": 16, "augment": "full", "precision": "fp32"}


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    prepare(0)
    torch.set_num_threads(1)  # two that spin beside another test's get nowhere
    yield
    torch.use_deterministic_algorithms(False)


def make_cells(train: int, val: int) -> Cells:
    """Squares of noise; the parasitized ones have a dark spot."""
    n = train + val
    random = torch.Generator().manual_seed(3)
    pixels = torch.randint(120, 255, (n, 32, 32, 3), generator=random, dtype=torch.uint8)
    labels = (torch.arange(n) % 2).float()
    pixels[1::2, 10:18, 12:20] //= 4
    return Cells(pixels, labels, {"train": torch.arange(train), "val": torch.arange(train, n)})


def with_params(**changes: object) -> Train:
    return PARAMS.model_copy(update=changes)


def run(params: Train, cells: Cells, precision: str = "fp32") -> tuple[torch.nn.Module, list[dict[str, float]]]:
    torch.manual_seed(params.seed)
    model = build_model(params.arch, 32, params.color, (0.5,) * 3, (0.5,) * 3)
    return model, list(train_epochs(model, cells, params, precision))


@pytest.mark.parametrize("arch", ["simple_cnn", "small_resnet"])
def test_eight_images_are_learned_by_heart(arch: str) -> None:
    cells = make_cells(8, 2)
    cells.rows["val"] = cells.rows["train"]  # or the epoch kept would be one that did well on two other images
    params = with_params(arch=arch, epochs=40, batch_size=8, augment="none", label_smoothing=0.0, lr=3e-3)
    model, figures = run(params, cells)
    logits = predict_logits(model, cells.pixels, cells.rows["train"], "fp32")
    assert ((logits > 0) == (cells.labels[:8] > 0)).all()
    assert figures[-1]["train/loss"] < 0.1 * figures[0]["train/loss"]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["one_cycle", "constant"])
def test_every_optimizer_and_schedule_lowers_the_loss(optimizer: str, schedule: str) -> None:
    params = with_params(optimizer=optimizer, schedule=schedule, epochs=8, batch_size=16, augment="flips", lr=3e-3)
    _, figures = run(params, make_cells(64, 16))
    assert figures[-1]["train/loss"] < 0.7 * figures[0]["train/loss"]


def test_the_learning_rate_warms_up_and_ends_near_zero_or_stays() -> None:
    cells = make_cells(32, 8)
    cycle = [epoch["lr"] for epoch in run(with_params(**QUICK | {"epochs": 6}), cells)[1]]
    assert cycle[0] < max(cycle)
    assert cycle[-1] < max(cycle)
    constant = run(with_params(**QUICK, schedule="constant"), cells)[1]
    assert [epoch["lr"] for epoch in constant] == [PARAMS.lr] * 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_twice_the_same_seed_is_twice_the_same_bits(precision: str) -> None:
    cells = make_cells(64, 16)
    (one, figures), (two, again) = (run(with_params(**QUICK), cells, precision) for _ in range(2))
    assert figures == again
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    other, _ = run(with_params(**QUICK, seed=1), cells, precision)
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


def test_the_weights_kept_are_those_of_the_best_epoch_on_val(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = make_cells(32, 8)
    losses = iter([0.5, 0.1, 0.9])
    states = []

    def validate(trainer: Trainer) -> dict[str, float]:
        states.append({key: value.clone() for key, value in trainer.model.state_dict().items()})
        return {"val/loss": next(losses), "val/accuracy": 0.5}

    monkeypatch.setattr(Trainer, "validate", validate)
    model, _ = run(with_params(**QUICK | {"epochs": 3}), cells)
    kept = model.state_dict()
    matches = [all(torch.equal(kept[key], state[key]) for key in kept) for state in states]
    assert matches == [False, True, False]


def test_the_cells_of_test_are_never_touched() -> None:
    cells = make_cells(32, 8)
    more = Cells(
        torch.cat([cells.pixels, torch.zeros(5, 32, 32, 3, dtype=torch.uint8)]),
        torch.cat([cells.labels, torch.full((5,), float("nan"))]),
        cells.rows | {"test": torch.arange(40, 45)},
    )
    assert run(with_params(**QUICK), cells)[1] == run(with_params(**QUICK), more)[1]


@pytest.mark.parametrize(("lr", "loss"), [(1e30, "nan"), (1e4, r"\d\.\d+e\+\d+")])
def test_a_loss_that_is_no_number_or_has_exploded_stops_training(lr: float, loss: str) -> None:
    cells = make_cells(32, 8)
    params = with_params(**QUICK | {"optimizer": "adam", "lr": lr, "schedule": "constant", "arch": "simple_cnn"})
    with pytest.raises(UserError) as told:
        run(params, cells)
    assert re.match(rf"training stopped in epoch 1 at step 2 of 2: train/loss is {loss}\. No model", str(told.value))
    assert f"Lower train.lr, which is {lr:g}" in str(told.value)


def test_a_set_smaller_than_a_batch_trains_all_the_same() -> None:
    _, figures = run(with_params(**QUICK | {"batch_size": 128}), make_cells(10, 4))
    assert len(figures) == 2
