"""models/model.safetensors: weights, hashes of the cells they were trained on, and in its header the model config."""

from pathlib import Path

import numpy as np
import PIL
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from malaria.core.artifacts import write_bytes
from malaria.core.hashing import Hashes
from malaria.data.index import CLASSES
from malaria.model.network import (
    Channels,
    Weights,
    build_model,
    normalisation,
)
from malaria.params import Color, Fit, Mask, Precision, Preprocess, Train, Unsegmented, modules_in

HASHES = "training_hashes"  # the tensor of model.safetensors that is no weight
MODEL_FILES = WEIGHTS, CARD = "model.safetensors", "model.json"  # in models/, and in any other folder of a model


class ModelConfig(BaseModel):
    """The input that the weights take, and what made them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arch: str
    size: int = Field(ge=1, le=512)  # px, side of the input; more than params.yaml allows would only fill memory
    fit: Fit  # how a cell becomes a square
    mask: Mask  # auto: of a crop that is not cut out, all but the cell in its middle becomes black
    unsegmented: Unsegmented  # what becomes of a crop in which no cell is found
    color: Color  # balance: each channel scaled to a mean of 0.5 over the cell; keep: as it came
    mean: Channels  # subtracted from the input, of 0..1
    std: Channels  # then divided by
    classes: tuple[str, str]  # names of the labels 0 and 1
    precision: Precision  # of the training
    versions: dict[str, str]  # of the libraries that trained it
    init_sha256: str | None  # of the model.safetensors that the training started from

    @property
    def preprocess(self) -> Preprocess:
        """How an image becomes the model's input."""
        names = ("size", "fit", "mask", "unsegmented")
        return Preprocess.model_construct(**{name: getattr(self, name) for name in names})


def make_config(
    train: Train, preprocess: Preprocess, precision: Precision, init_sha256: str | None = None
) -> ModelConfig:
    """The config of a model about to be trained."""
    mean, std = normalisation(train.arch)
    return ModelConfig(
        arch=train.arch,
        **preprocess.model_dump(),
        color=train.color,
        mean=mean,
        std=std,
        classes=CLASSES,
        precision=precision,
        versions={"torch": torch.__version__, "pillow": PIL.__version__},
        init_sha256=init_sha256,
    )


def build_from_config(config: ModelConfig, pretrained: Weights | None = None) -> nn.Module:
    """The model of a config, with fresh weights or, in all but its head, with pretrained ones."""
    return build_model(config.arch, config.size, config.color, config.mean, config.std, pretrained)


def save_model(path: Path, model: nn.Module, config: ModelConfig, hashes: Hashes) -> None:
    """Write weights, config and the hashes of the cells of train and val.

    The config is under one key of the header: safetensors does not keep the order of several.
    """
    tensors = {key: weight.contiguous() for key, weight in model.cpu().state_dict().items()}
    tensors[HASHES] = torch.from_numpy(np.sort(hashes).view(np.int64))
    write_bytes(path, save(tensors, {"config": config.model_dump_json()}))


def read_model(path: Path) -> tuple[nn.Module, ModelConfig]:
    """The model on the CPU, with its weights, and its config.

    Raises:
        ValueError: the file is damaged, of another version, or its weights do not fit its config.
        FileNotFoundError: there is no such file.
    """
    weights, config = read_weights(path)
    model = build_from_config(config)
    _check_weights(weights, model.state_dict(), f"{config.arch} at {config.size} px")
    model.load_state_dict(weights)
    return model, config


def read_weights(path: Path) -> tuple[Weights, ModelConfig]:
    """The weights and the config, not yet compared with each other.

    Raises:
        ValueError: the file is damaged or of another version.
        FileNotFoundError: there is no such file.
    """
    try:
        with safe_open(path, "pt") as file:
            config = ModelConfig.model_validate_json((file.metadata() or {}).get("config", ""))
            weights = {key: file.get_tensor(key) for key in file.keys() if key != HASHES}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ValueError(f"not a complete safetensors file ({error})") from None
    except ValidationError:
        raise ValueError("no model config of this version in its header") from None
    if config.arch not in (known := modules_in("architectures")):
        raise ValueError(f"its architecture {config.arch} is none of {', '.join(known)}")
    return weights, config


def read_training_hashes(path: Path) -> Hashes:
    """The hashes of the pixels of the cells that the model of `read_model` was trained and validated on, sorted."""
    with safe_open(path, "pt") as file:
        hashes: Hashes = file.get_tensor(HASHES).numpy().view(np.uint64)
    return hashes


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
