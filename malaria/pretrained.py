"""Weights of torchvision's networks for ImageNet: from where torchvision keeps them, or from a file."""

from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch.hub import get_dir

from malaria.errors import UserError
from malaria.models import ARCHITECTURES, Weights


def load_pretrained(arch: str, path: str | None) -> Weights:
    """The weights of an architecture, head included: from a .pth or .safetensors file, or through torchvision's API.

    Raises:
        UserError: there are none for it, the file cannot be read or does not fit, or the network cannot be reached.
    """
    if not ARCHITECTURES[arch].imagenet:
        able = ", ".join(name for name, architecture in ARCHITECTURES.items() if architecture.imagenet)
        raise UserError(f"train.pretrained: there are no weights for {arch}; there are for {able}")
    weights = _download(arch) if path is None else _read(Path(path))
    _check_fit(arch, weights, path)
    return weights


def _download(arch: str) -> Weights:
    """Through torchvision, which checks the sum of what it downloads, and keeps it in ~/.cache/torch.

    What lies there already is not checked, so weights_only here too.
    """
    from torchvision.models import get_model_weights  # a second, which only this needs

    best = get_model_weights(arch).DEFAULT
    try:
        weights: Weights = best.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise UserError(
            f"train.pretrained: the weights of {arch} cannot be downloaded ({error}).\n"
            f"Fetch {best.url} where there is a network, and name the file in train.weights."
        ) from None
    except Exception:  # whatever torch raises on rubbish
        kept = Path(get_dir()) / "checkpoints" / Path(best.url).name
        raise UserError(f"train.pretrained: {kept}: no file of weights; remove it, to download it anew") from None
    return weights


def _read(path: Path) -> Weights:
    """A file of tensors; weights_only, so that a .pth runs no code."""
    try:
        return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"train.weights: {path}: no such file") from None
    except Exception as error:  # whatever a reader raises on rubbish
        raise UserError(f"train.weights: {path}: no file of weights (.pth or .safetensors): {error}") from None


def _check_fit(arch: str, weights: Weights, path: str | None) -> None:
    """Refuse weights whose names or shapes are not those of the architecture."""
    wanted = {name: tensor.shape for name, tensor in ARCHITECTURES[arch].build(224).state_dict().items()}
    given = {name: tensor.shape for name, tensor in weights.items()}
    if wanted != given:
        odd = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
        raise UserError(f"train.weights: {path} does not fit {arch}: {len(odd)} tensors differ, the first is {odd[0]}")
