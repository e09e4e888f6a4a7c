"""models/model.safetensors: the weights, and in its header the recipe that they fit; no pickle is ever read."""

import platform
from pathlib import Path

import PIL
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from malaria.files import write_bytes
from malaria.models import ARCHITECTURES, Weights, build_model
from malaria.names import CLASSES
from malaria.params import Preprocess, Train


class Recipe(BaseModel):
    """What input the weights want, and what made them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arch: str
    size: int = Field(ge=1, le=512)  # px, side of the input; more than params.yaml allows would only fill memory
    fit: str  # how a cell becomes a square: stretch or pad
    color: str  # balance: each channel scaled to a mean of 0.5 over the cell; keep: as it came
    mean: tuple[float, float, float]  # by channel, subtracted from the input, of 0..1
    std: tuple[float, float, float]  # then divided by
    classes: tuple[str, str]  # names of the labels 0 and 1
    precision: str  # that it was trained in
    versions: dict[str, str]  # of what it was trained with


def make_recipe(train: Train, preprocess: Preprocess, precision: str) -> Recipe:
    """The recipe of a network about to be trained here."""
    versions = {"python": platform.python_version(), "torch": torch.__version__, "pillow": PIL.__version__}
    return Recipe(
        arch=train.arch,
        size=preprocess.size,
        fit=preprocess.fit,
        color=train.color,
        mean=ARCHITECTURES[train.arch].mean,
        std=ARCHITECTURES[train.arch].std,
        classes=CLASSES,
        precision=precision,
        versions=versions,
    )


def build_network(recipe: Recipe, pretrained: Weights | None = None) -> nn.Module:
    """The network of a recipe, with fresh weights, or all but the last layer with those given."""
    return build_model(recipe.arch, recipe.size, recipe.color, recipe.mean, recipe.std, pretrained)


def save_weights(path: Path, model: nn.Module, recipe: Recipe) -> None:
    """Write the weights, the recipe in the header under one key: of several, safetensors would not keep the order."""
    weights = {key: weight.contiguous() for key, weight in model.cpu().state_dict().items()}
    write_bytes(path, save(weights, {"recipe": recipe.model_dump_json()}))


def load_weights(path: Path) -> tuple[nn.Module, Recipe]:
    """The network with its weights, on the CPU, and its recipe.

    Raises:
        ValueError: in words, the file is damaged or no model of this version, or its weights are not of its recipe.
    """
    try:
        with safe_open(path, "pt") as file:
            recipe = Recipe.model_validate_json((file.metadata() or {}).get("recipe", ""))
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ValueError(f"no whole safetensors file ({error})") from None
    except ValidationError:
        raise ValueError("no recipe that is known here in its header") from None
    if recipe.arch not in ARCHITECTURES:
        raise ValueError(f"a network called {recipe.arch}, which is none of {', '.join(ARCHITECTURES)}")
    model = build_network(recipe)
    _check_weights(weights, model.state_dict(), f"{recipe.arch} at {recipe.size} px")
    model.load_state_dict(weights)
    return model, recipe


def _check_weights(weights: Weights, wanted: Weights, network: str) -> None:
    """Refuse those of another network, and those that are no numbers: they would make each cell Uninfected."""
    for key in wanted | weights:
        one, other = (tuple(of[key].shape) if key in of else None for of in (weights, wanted))
        if one != other:
            raise ValueError(
                f"not the weights of {network}: {key} is {one or 'not there'}, not {other or 'a part of it'}"
            )
    if broken := [key for key, weight in weights.items() if not torch.isfinite(weight).all()]:
        raise ValueError(
            f"{len(broken)} of its {len(weights)} weights are infinite or no numbers, the first {broken[0]}, as when a "
            "training diverges: then train again, with a lower train.lr"
        )
