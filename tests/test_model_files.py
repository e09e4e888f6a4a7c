"""Weights come back as they went, with the recipe that fits them."""

import hashlib
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from malaria.model_card import ModelCard
from malaria.model_files import Recipe, build_network, load_weights, make_recipe, save_weights
from malaria.models import ARCHITECTURES
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
    card = ModelCard(**recipe.model_dump(), temperature=1.5, threshold=0.5)
    assert recipe.model_dump().items() <= card.model_dump().items()
    assert card.classes == ("Uninfected", "Parasitized")
