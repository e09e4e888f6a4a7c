"""Every architecture that params.yaml may name can be built, at any size, and gives one logit a cell."""

from typing import get_args

import pytest
import torch
from torch import nn

from malaria.models import ARCHITECTURES, build_model, count_weights
from malaria.params import Train


def test_the_schema_offers_exactly_the_architectures_there_are() -> None:
    assert set(get_args(Train.model_fields["arch"].annotation)) == set(ARCHITECTURES)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("size", [32, 64, 97])
def test_a_batch_gives_one_finite_logit_a_cell(arch: str, size: int) -> None:
    logits = build_model(arch, size, 0.5, 0.5)(torch.rand(5, 3, size, size))
    assert logits.shape == (5,)
    assert logits.isfinite().all()


def test_the_input_is_standardised() -> None:
    standardise = build_model("simple_cnn", 32, 0.25, 0.5)[0]
    assert torch.equal(standardise(torch.tensor([0.25, 0.75])), torch.tensor([0.0, 1.0]))


def test_simple_cnn_is_the_notebooks() -> None:
    layers = [type(layer) for layer in ARCHITECTURES["simple_cnn"](64).children()]
    block = [nn.Conv2d, nn.ReLU, nn.MaxPool2d]
    assert layers == [*block, *block, nn.Flatten, nn.Linear, nn.ReLU, nn.Linear, nn.Flatten]
    assert count_weights(ARCHITECTURES["simple_cnn"](64)) == 2_116_801
