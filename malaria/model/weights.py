"""models/model.safetensors: the weights, and in its header the config of the model. No pickle is ever read.

Also the pretrained weights that a training may start from.
"""

import hashlib
from pathlib import Path
from urllib.error import URLError

import PIL
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn
from torch.hub import get_dir

from malaria.core.artifacts import write_bytes
from malaria.core.errors import UserError
from malaria.data.index import CLASSES
from malaria.model.network import (
    Channels,
    Weights,
    build_model,
    get_architecture,
    has_imagenet_weights,
    normalisation,
)
from malaria.params import Color, Fit, Precision, Preprocess, Train, modules_in

MODEL_FILES = WEIGHTS, CARD = "model.safetensors", "model.json"  # in models/, and in any other folder of a model


class ModelConfig(BaseModel):
    """The input that the weights take, and what made them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arch: str
    size: int = Field(ge=1, le=512)  # px, side of the input; more than params.yaml allows would only fill memory
    fit: Fit  # how a cell becomes a square
    color: Color  # balance: each channel scaled to a mean of 0.5 over the cell; keep: as it came
    mean: Channels  # subtracted from the input, of 0..1
    std: Channels  # then divided by
    classes: tuple[str, str]  # names of the labels 0 and 1
    precision: Precision  # of the training
    versions: dict[str, str]  # of the libraries that trained it


def make_config(train: Train, preprocess: Preprocess, precision: Precision) -> ModelConfig:
    """The config of a model about to be trained."""
    mean, std = normalisation(train.arch)
    return ModelConfig(
        arch=train.arch,
        size=preprocess.size,
        fit=preprocess.fit,
        color=train.color,
        mean=mean,
        std=std,
        classes=CLASSES,
        precision=precision,
        versions={"torch": torch.__version__, "pillow": PIL.__version__},
    )


def build_from_config(config: ModelConfig, pretrained: Weights | None = None) -> nn.Module:
    """The model of a config, with fresh weights or, in all but its head, with pretrained ones."""
    return build_model(config.arch, config.size, config.color, config.mean, config.std, pretrained)


def save_model(path: Path, model: nn.Module, config: ModelConfig) -> None:
    """Write weights and config, under one key of the header: safetensors does not keep the order of several."""
    weights = {key: weight.contiguous() for key, weight in model.cpu().state_dict().items()}
    write_bytes(path, save(weights, {"config": config.model_dump_json()}))


def read_model(path: Path) -> tuple[nn.Module, ModelConfig]:
    """The model on the CPU, with its weights, and its config.

    Raises:
        ValueError: the file is damaged, of another version, or its weights do not fit its config.
        FileNotFoundError: there is no such file.
    """
    try:
        with safe_open(path, "pt") as file:
            config = ModelConfig.model_validate_json((file.metadata() or {}).get("config", ""))
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ValueError(f"not a complete safetensors file ({error})") from None
    except ValidationError:
        raise ValueError("no model config of this version in its header") from None
    if config.arch not in (known := modules_in("architectures")):
        raise ValueError(f"its architecture {config.arch} is none of {', '.join(known)}")
    model = build_from_config(config)
    _check_weights(weights, model.state_dict(), f"{config.arch} at {config.size} px")
    model.load_state_dict(weights)
    return model, config


def _check_weights(weights: Weights, wanted: Weights, network: str) -> None:
    """Refuse weights of other shapes, and NaN or infinite ones, which would make every cell Uninfected."""
    for key in wanted | weights:
        shape, expected = (tuple(of[key].shape) if key in of else "missing" for of in (weights, wanted))
        if shape != expected:
            raise ValueError(f"not the weights of {network}: {key} is {shape}, expected {expected}")
    if broken := [key for key, weight in weights.items() if not torch.isfinite(weight).all()]:
        raise ValueError(
            f"{len(broken)} of its {len(weights)} tensors hold NaN or infinity, the first is {broken[0]}, as when "
            "training diverges: train again with a lower train.lr"
        )


def load_pretrained(params: Train) -> Weights | None:
    """The weights that `train.weights` names, head included; None if it is null.

    Raises:
        UserError: there are none for `train.arch`, or they cannot be downloaded or read, have another hash, or do not
            fit the architecture.
    """
    if params.weights is None:
        return None
    if not has_imagenet_weights(params.arch):
        able = ", ".join(arch for arch in modules_in("architectures") if has_imagenet_weights(arch))
        raise UserError(f"train.weights: there are no pretrained weights for {params.arch}; there are for {able}")
    if params.weights == "imagenet":
        return _download(params.arch)
    weights = _read_weights(Path(params.weights), params.weights_sha256)
    _check_fit(params.arch, weights, params.weights)
    return weights


def _download(arch: str) -> Weights:
    """Through torchvision, which checks what it downloads, and keeps it in ~/.cache/torch."""
    from torchvision.models import get_model_weights  # takes a second, and only pretrained networks need it

    best = get_model_weights(arch).DEFAULT
    try:
        weights: Weights = best.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise UserError(
            f"train.weights: the weights of {arch} cannot be downloaded ({error}).\n"
            f"Fetch {best.url} where there is a network, and name the file in train.weights."
        ) from None
    except Exception:  # whatever torch raises on a file that is no pickle
        kept = Path(get_dir()) / "checkpoints" / Path(best.url).name
        raise UserError(f"train.weights: {kept} holds no weights; remove it, to download it anew") from None
    return weights


def _read_weights(path: Path, sha256: str | None) -> Weights:
    """A file of tensors; weights_only, so that a .pth runs no code."""
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != sha256:
            raise UserError(f"train.weights: {path} has the sha256 {found}, and train.weights_sha256 is {sha256}")
        return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    except OSError as error:
        raise UserError(f"train.weights: {path}: {error.strerror}") from None
    except UserError:
        raise
    except Exception as error:  # whatever a reader raises on rubbish
        raise UserError(f"train.weights: {path} holds no weights (.pth or .safetensors): {error}") from None


def _check_fit(arch: str, weights: Weights, path: str) -> None:
    wanted = {name: tensor.shape for name, tensor in get_architecture(arch).build(224).state_dict().items()}
    given = {name: tensor.shape for name, tensor in weights.items()}
    if wanted != given:
        odd = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
        raise UserError(f"train.weights: {path} does not fit {arch}: {len(odd)} tensors differ, the first is {odd[0]}")
