"""Weights come back as they went, with the recipe that fits them."""

import hashlib
from pathlib import Path

import pytest
import torch

from malaria.model_files import ModelCard, load_weights, make_recipe, save_weights
from malaria.models import ARCHITECTURES, build_model


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_model_comes_back_the_same(arch: str, tmp_path: Path) -> None:
    recipe = make_recipe(arch, 32, "pad", "bf16")
    model = build_model(arch, 32, recipe.mean, recipe.std).eval()
    save_weights(tmp_path / "model.safetensors", model, recipe)
    loaded, read = load_weights(tmp_path / "model.safetensors")
    batch = torch.rand(4, 3, 32, 32)
    assert read == recipe
    assert torch.equal(loaded.eval()(batch), model(batch))


def test_the_same_weights_are_the_same_bytes(tmp_path: Path) -> None:
    recipe = make_recipe("small_resnet", 32, "stretch", "fp32")
    model = build_model("small_resnet", 32, recipe.mean, recipe.std)
    sums = set()
    for n in range(5):
        save_weights(tmp_path / f"{n}", model, recipe)
        sums.add(hashlib.sha256((tmp_path / f"{n}").read_bytes()).hexdigest())
    assert len(sums) == 1


def test_the_card_says_all_that_the_recipe_says() -> None:
    recipe = make_recipe("small_resnet", 64, "stretch", "fp32")
    card = ModelCard(**recipe.model_dump(), temperature=1.5, threshold=0.5)
    assert recipe.model_dump().items() <= card.model_dump().items()
    assert card.classes == ("Uninfected", "Parasitized")
