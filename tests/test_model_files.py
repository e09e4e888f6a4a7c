"""Weights come back as they went, with the recipe that fits them."""

import hashlib
from pathlib import Path

import pytest
import torch
from cards import make_card
from conftest import ROOT
from malaria.model_card import count_macs
from malaria.model_files import Recipe, build_network, load_weights, make_recipe, save_weights
from malaria.models import ARCHITECTURES
from torch import nn

from malaria.params import load_params


def recipe_of(**changes: str) -> Recipe:
    """The recipe of the default network, at 32 px, or of another."""
    params = load_params(ROOT / "params.yaml")
    train, preprocess = params.train.model_copy(update=changes), params.preprocess.model_copy(update={"size": 32})
    return make_recipe(train, preprocess, "bf16")


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_model_comes_back_the_same(arch: str, tmp_path: Path) -> None:
    recipe = recipe_of(arch=arch)
    model = build_network(recipe).eval()
    save_weights(tmp_path / "model.safetensors", model, recipe)
    loaded, read = load_weights(tmp_path / "model.safetensors")
    batch = torch.rand(4, 3, 32, 32)
    assert read == recipe
    assert torch.equal(loaded.eval()(batch), model(batch))


def test_the_same_weights_are_the_same_bytes(tmp_path: Path) -> None:
    recipe = recipe_of()
    model = build_network(recipe)
    sums = set()
    for n in range(5):
        save_weights(tmp_path / f"{n}", model, recipe)
        sums.add(hashlib.sha256((tmp_path / f"{n}").read_bytes()).hexdigest())
    assert len(sums) == 1


def test_the_card_says_all_that_the_recipe_says() -> None:
    recipe = recipe_of()
    card = make_card(recipe)
    assert recipe.model_dump().items() <= card.model_dump().items()
    assert card.classes == ("Uninfected", "Parasitized")


def test_the_cost_of_a_network_is_that_of_its_layers() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16 * 16, 5))
    assert count_macs(layers, 16) == 16 * 16 * 8 * 3 * 9 + 8 * 16 * 16 * 5
