"""Weights come back as they went, with the config that fits them."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

from malaria.evaluation.model_card import count_macs
from malaria.model.network import ARCHITECTURES
from malaria.model.weights import ModelConfig, build_from_config, make_config, read_model, save_model
from malaria.params import load_params
from tests.support.models import make_card
from tests.support.scratch import ROOT


def recipe_of(**changes: str) -> ModelConfig:
    """The config of the default network, at 32 px, or of another."""
    params = load_params(ROOT / "params.yaml")
    train, preprocess = params.train.model_copy(update=changes), params.preprocess.model_copy(update={"size": 32})
    return make_config(train, preprocess, "bf16")


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_model_comes_back_the_same(arch: str, tmp_path: Path) -> None:
    config = recipe_of(arch=arch)
    model = build_from_config(config).eval()
    save_model(tmp_path / "model.safetensors", model, config)
    loaded, read = read_model(tmp_path / "model.safetensors")
    batch = torch.rand(4, 3, 32, 32)
    assert read == config
    assert torch.equal(loaded.eval()(batch), model(batch))


def test_the_same_weights_are_the_same_bytes(tmp_path: Path) -> None:
    config = recipe_of()
    model = build_from_config(config)
    sums = set()
    for n in range(5):
        save_model(tmp_path / f"{n}", model, config)
        sums.add(hashlib.sha256((tmp_path / f"{n}").read_bytes()).hexdigest())
    assert len(sums) == 1


def test_the_card_says_all_that_the_recipe_says() -> None:
    config = recipe_of()
    card = make_card(config)
    assert config.model_dump().items() <= card.model_dump().items()
    assert card.classes == ("Uninfected", "Parasitized")


def test_the_cost_of_a_network_is_that_of_its_layers() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16 * 16, 5))
    assert count_macs(layers, 16) == 16 * 16 * 8 * 3 * 9 + 8 * 16 * 16 * 5
