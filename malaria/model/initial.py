"""The model that a training starts from: fresh, pretrained on ImageNet, or a trained model of this pipeline."""

import hashlib
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import nn
from torch.hub import get_dir

from malaria.core.errors import UserError
from malaria.model.network import Weights, get_architecture, has_imagenet_weights
from malaria.model.weights import WEIGHTS, ModelConfig, build_from_config, read_model
from malaria.params import NOTHING, Train, modules_in


def build_initial(config: ModelConfig, params: Train) -> nn.Module:
    """The model of a config, with the weights that `train.init` or `train.weights` name, or fresh ones.

    Raises:
        UserError: they cannot be downloaded or read, or do not fit `train.arch` and `preprocess.size`.
    """
    if params.weights == "imagenet":
        return build_from_config(config, _download(_able(params.arch)))
    if (model_file := find_model(params.init)) is not None:
        return _read_initial(model_file, config)
    if params.init != NOTHING:
        return build_from_config(config, _read_pretrained(Path(params.init), _able(params.arch)))
    return build_from_config(config)


def find_model(init: str) -> Path | None:
    """The model.safetensors that `train.init` names, itself or its folder; None where it names no model of ours."""
    path = Path(init)
    path = path / WEIGHTS if path.is_dir() else path
    return path if path.name == WEIGHTS else None


def hash_initial(init: str) -> str | None:
    """The sha256 of the model that `train.init` names; None where it names none.

    Raises:
        UserError: it cannot be read.
    """
    path = find_model(init)
    try:
        return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"train.init: {path}: {error.strerror}") from None


def _read_initial(path: Path, config: ModelConfig) -> nn.Module:
    try:
        model, base = read_model(path)
    except (ValueError, OSError) as error:
        raise UserError(f"train.init: {path}: {error}") from None
    for param, name in (("train.arch", "arch"), ("preprocess.size", "size"), ("train.color", "color")):
        has, wanted = getattr(base, name), getattr(config, name)
        if has != wanted:
            raise UserError(f"train.init: {path} has {param}={has}, and this training {wanted}; set {param}={has}")
    return model


def _able(arch: str) -> str:
    """The architecture, if torchvision has pretrained weights for it."""
    if not has_imagenet_weights(arch):
        able = ", ".join(arch for arch in modules_in("architectures") if has_imagenet_weights(arch))
        raise UserError(
            f"train.init, train.weights: torchvision has no pretrained weights for {arch}; it has some for {able}"
        )
    return arch


def _download(arch: str) -> Weights:
    """Through torchvision, which checks what it downloads, and keeps it in ~/.cache/torch."""
    from torchvision.models import get_model_weights  # takes a second, and only pretrained networks need it

    best = get_model_weights(arch).DEFAULT
    try:
        weights: Weights = best.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise UserError(
            f"train.weights: the weights of {arch} cannot be downloaded ({error}).\n"
            f"Fetch {best.url} where there is a network, and name the file in train.init."
        ) from None
    except Exception:  # whatever torch raises on a file that is no pickle
        kept = Path(get_dir()) / "checkpoints" / Path(best.url).name
        raise UserError(f"train.weights: {kept} holds no weights; remove it, to download it anew") from None
    return weights


def _read_pretrained(path: Path, arch: str) -> Weights:
    """A file of torchvision's weights, head included; weights_only, so that a .pth runs no code."""
    try:
        weights: Weights = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
        given = {name: tensor.shape for name, tensor in weights.items()}
    except OSError as error:
        raise UserError(f"train.init: {path}: {error.strerror}") from None
    except Exception as error:  # whatever a reader raises on rubbish
        raise UserError(
            f"train.init: {path} holds no weights; give a folder like models/, its model.safetensors, or a .pth or "
            f".safetensors file of torchvision's ({error})"
        ) from None
    wanted = {name: tensor.shape for name, tensor in get_architecture(arch).build(224).state_dict().items()}
    if wanted != given:
        odd = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
        raise UserError(f"train.init: {path} does not fit {arch}: {len(odd)} tensors differ, the first is {odd[0]}")
    return weights
