"""Every architecture that params.yaml may name can be built, at any size, and gives one logit a cell."""

from typing import get_args

import pytest
import torch
from torch import nn

from malaria.model.network import (
    ARCHITECTURES,
    BalanceColor,
    build_from_config,
    build_model,
    count_parameters,
    find_head,
)
from malaria.params import Train

HALF = (0.5, 0.5, 0.5)


def test_the_schema_offers_exactly_the_architectures_there_are() -> None:
    assert set(get_args(Train.model_fields["arch"].annotation)) == set(ARCHITECTURES)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("size", [32, 64, 97])
def test_a_batch_gives_one_finite_logit_a_cell(arch: str, size: int) -> None:
    logits = build_model(arch, size, "balance", HALF, HALF)(torch.rand(5, 3, size, size))
    assert logits.shape == (5,)
    assert logits.isfinite().all()


def test_the_input_is_standardised() -> None:
    _, standardise, _ = build_model("simple_cnn", 32, "keep", (0.25, 0.5, 0.0), (0.5, 0.5, 1.0))
    gray = standardise(torch.full((1, 3, 2, 2), 0.75))
    assert gray[0, :, 0, 0].tolist() == [1.0, 0.5, 0.75]


def test_a_balanced_cell_has_no_color_of_its_own_left_but_keeps_what_differs_in_it() -> None:
    cell = torch.zeros(1, 3, 8, 8)
    cell[..., 2:6, 2:6] = 0.4
    cell[..., 3, 3] = 0.2
    tinted = cell * torch.tensor([1.0, 0.5, 1.5]).view(1, 3, 1, 1)
    balance = BalanceColor()
    assert torch.allclose(balance(tinted), balance(cell))
    assert balance(cell)[..., 2:6, 2:6].mean() == pytest.approx(0.5)
    assert (balance(cell)[..., 3, 3] / balance(cell)[..., 2, 2]).tolist() == [pytest.approx([0.5] * 3)]
    assert (balance(cell)[..., 0, :] == 0).all()
    assert balance(torch.zeros(1, 3, 4, 4)).isfinite().all()


def test_simple_cnn_is_the_notebooks() -> None:
    layers = [type(layer) for layer in build_from_config("simple_cnn", 64).children()]
    block = [nn.Conv2d, nn.ReLU, nn.MaxPool2d]
    assert layers == [*block, *block, nn.Flatten, nn.Linear, nn.ReLU, nn.Linear, nn.Flatten]
    assert count_parameters(build_from_config("simple_cnn", 64)) == 2_116_801


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_head_is_the_layer_that_gives_the_logit(arch: str) -> None:
    _, head = find_head(build_from_config(arch, 64))
    assert head.out_features == 1


TORCHVISIONS = [pytest.param(arch, marks=pytest.mark.slow) for arch in ("resnet18", "mobilenet_v3_small")]


@pytest.mark.parametrize("arch", ["small_resnet", *TORCHVISIONS])
def test_a_hundred_batches_are_enough_to_be_judged_by(arch: str) -> None:
    """What batch norm remembers is of these, and no more of its start, by which all cells would look alike."""
    torch.manual_seed(0)
    network, batch = build_from_config(arch, 32), torch.rand(16, 3, 32, 32)
    with torch.inference_mode():
        for _ in range(100):
            trained = network(batch)
        judged = network.eval()(batch)
    assert judged.std() > 0.3 * trained.std()
