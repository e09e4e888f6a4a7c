"""Training learns, keeps its best epoch, gives the same weights twice, and stops when it diverges."""

from typing import Any

import pytest
import torch

from malaria.core.errors import UserError
from malaria.model.dataset import Cells
from malaria.model.inference import predict_logits
from malaria.model.network import find_head
from malaria.model.trainer import Trainer, make_optimizer, make_schedule, train_epochs
from malaria.model.weights import build_from_config
from tests.support.models import config, fit, make_cells, same_weights, train_params


@pytest.mark.parametrize("arch", ["simple_cnn", "small_resnet"])
def test_a_network_overfits_eight_cells(arch: str) -> None:
    cells = make_cells(8, 2)
    cells.rows["val"] = cells.rows["train"]  # or the epoch kept would be one that did well on two other cells
    params = train_params(arch=arch, epochs=40, batch_size=8, augment="none", label_smoothing=0.0, lr=3e-3)
    model, metrics = fit(params, cells)
    logits = predict_logits(model, cells.pixels, cells.rows["train"], "fp32")
    assert ((logits > 0) == (cells.labels[:8] > 0)).all()
    assert metrics[-1]["train/loss"] < 0.1 * metrics[0]["train/loss"]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["one_cycle", "constant"])
def test_every_optimizer_and_schedule_lowers_the_loss(optimizer: str, schedule: str) -> None:
    params = train_params(optimizer=optimizer, schedule=schedule, epochs=8, augment="flips", lr=3e-3)
    _, metrics = fit(params, make_cells(64, 16))
    assert metrics[-1]["train/loss"] < 0.7 * metrics[0]["train/loss"]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_one_cycle_moves_the_rate_up_and_down_and_momentum_against_it(optimizer: str) -> None:
    params = train_params(optimizer=optimizer)
    rates, momenta = _cycle(params.model_copy(update={"schedule": "one_cycle"}))
    peak = rates.index(max(rates))
    assert rates[peak] == pytest.approx(params.lr, rel=1e-3)
    assert rates[-1] < 1e-3 * rates[0] < rates[0] < params.lr
    assert (momenta[0], momenta[peak], momenta[-1]) == pytest.approx((0.95, 0.85, 0.95), abs=1e-3)
    rates, momenta = _cycle(params.model_copy(update={"schedule": "constant"}))
    assert (set(rates), set(momenta)) == ({params.lr}, {0.9})


def _cycle(params: Any) -> tuple[list[float], list[float]]:
    """The learning rate and momentum (beta1) of 200 steps."""
    optimizer = make_optimizer(torch.nn.Linear(1, 1), params)
    schedule, steps = make_schedule(optimizer, params, 200), []
    for _ in range(200):
        (group,) = optimizer.param_groups
        steps.append((group["lr"], group["betas"][0] if "betas" in group else group["momentum"]))
        optimizer.step()
        schedule.step()
    rates, momenta = zip(*steps, strict=True)
    return list(rates), list(momenta)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_weights(precision: Any) -> None:
    cells, params = make_cells(64, 16), train_params()
    (one, metrics), (two, again) = (fit(params, cells, precision=precision) for _ in range(2))
    assert metrics == again
    assert same_weights(one, two)
    assert not same_weights(one, fit(train_params(seed=1), cells, precision=precision)[0])


def test_the_weights_kept_are_those_of_the_lowest_loss_on_val(monkeypatch: pytest.MonkeyPatch) -> None:
    losses, states = iter([0.5, 0.1, 0.9]), []

    def validate(trainer: Trainer, model: torch.nn.Module) -> dict[str, float]:
        states.append({key: value.clone() for key, value in model.state_dict().items()})
        return {"val/loss": next(losses), "val/accuracy": 0.5}

    monkeypatch.setattr(Trainer, "validate", validate)
    kept = fit(train_params(epochs=3), make_cells(32, 8))[0].state_dict()
    assert [all(torch.equal(kept[key], state[key]) for key in kept) for state in states] == [False, True, False]


@pytest.mark.parametrize("arch", ["simple_cnn", "small_resnet"])
def test_the_weights_of_robust_epochs_are_averaged(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    states, step = [], Trainer.step

    def record(trainer: Trainer, rows: torch.Tensor) -> None:
        step(trainer, rows)
        states.append([weights.detach().clone() for weights in trainer.model.parameters()])

    monkeypatch.setattr(Trainer, "step", record)
    params = train_params(arch=arch, epochs=1, robust_epochs=1, batch_size=8)
    model, history = fit(params, make_cells(64, 16))
    assert len(history) == 2
    means = [
        torch.stack(weights).mean(0) for weights in zip(*states[8 + 2 :], strict=True)
    ]  # the first quarter settles
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(model.parameters(), means, strict=True))


def test_averaged_weights_have_the_statistics_of_their_own_activations() -> None:
    cells = make_cells(64, 16)
    model, _ = fit(train_params(epochs=1, robust_epochs=1, batch_size=8), cells)
    first = next(module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d))
    seen: list[torch.Tensor] = []
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    predict_logits(model, cells.pixels, cells.rows["train"], "fp32")
    spread = torch.cat(seen).std((0, 2, 3))
    away = (torch.cat(seen).mean((0, 2, 3)) - first.running_mean).abs()
    assert (away < 0.5 * spread).all()  # they are of augmented cells


def test_the_epoch_kept_is_a_robust_one_where_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([0.1, 0.5, 0.4])
    states = []

    def validate(trainer: Trainer, model: torch.nn.Module) -> dict[str, float]:
        states.append({key: value.clone() for key, value in model.state_dict().items()})
        return {"val/loss": next(losses), "val/accuracy": 0.5}

    monkeypatch.setattr(Trainer, "validate", validate)
    kept = fit(train_params(epochs=1, robust_epochs=2), make_cells(32, 8))[0].state_dict()
    assert [all(torch.equal(kept[key], state[key]) for key in kept) for state in states] == [False, False, True]


def test_the_cells_of_test_are_never_touched() -> None:
    cells = make_cells(32, 8)
    more = Cells(
        torch.cat([cells.pixels, torch.zeros(5, 32, 32, 3, dtype=torch.uint8)]),
        torch.cat([cells.labels, torch.full((5,), float("nan"))]),
        cells.rows | {"test": torch.arange(40, 45)},
    )
    assert fit(train_params(), cells)[1] == fit(train_params(), more)[1]


@pytest.mark.parametrize(("lr", "loss"), [(1e30, "nan"), (1e4, "e+")])
def test_a_loss_that_diverges_stops_training_and_names_step_loss_and_rate(lr: float, loss: str) -> None:
    with pytest.raises(UserError) as told:
        fit(train_params(arch="simple_cnn", optimizer="adam", lr=lr, schedule="constant"), make_cells(32, 8))
    assert all(words in str(told.value) for words in ("epoch 1", "step 2 of 2", "train/loss", loss, f"{lr:g}"))


def test_fewer_cells_than_a_batch_train_all_the_same() -> None:
    assert len(fit(train_params(batch_size=128), make_cells(10, 4))[1]) == 2


def test_a_batch_that_the_processes_cannot_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("malaria.model.parallel.world_size", lambda: 3)
    with pytest.raises(UserError, match=r"train\.batch_size=16 .* 3 processes"):
        fit(train_params(), make_cells(32, 8))


def test_a_frozen_epoch_trains_the_last_layer_alone_and_moves_no_statistics_of_batch_norm() -> None:
    params = train_params(arch="mobilenet_v3_small", weights="imagenet", freeze=1, batch_size=8, augment="none")
    network = build_from_config(config("mobilenet_v3_small"))
    head = next(name for name, module in network.named_modules() if module is find_head(network)[1])
    epochs = train_epochs(network, make_cells(16, 8), params, "fp32")
    assert _changed_by(network, epochs) == {f"{head}.weight", f"{head}.bias"}
    statistics = {name for name, _ in network.named_buffers() if name.endswith(("running_mean", "running_var"))}
    assert _changed_by(network, epochs) >= statistics | {name for name, _ in network.named_parameters()}


def _changed_by(network: torch.nn.Module, epochs: Any) -> set[str]:
    """The names of the weights and buffers that the next epoch changes."""
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    next(epochs)
    return {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
