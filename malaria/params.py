"""The schema of params.yaml: what each stage can be tuned by, checked before any work is done.

No field has a default and none is computed, so this file only accepts or refuses: what a stage makes depends on
the values, which DVC tracks under `params:`, and not on this file, which is therefore no dependency of any stage.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from malaria.errors import UserError

Seed = Annotated[int, Field(ge=0, lt=2**32)]


class ParamsError(UserError):
    """params.yaml cannot be used; as a SystemExit it ends a stage with its message and status 1."""


class Section(BaseModel):
    """A frozen part of params.yaml: every key is required, no other is allowed, no type is guessed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Synthetic(Section):
    """The drawn cells."""

    patients: int = Field(ge=10, le=1000)
    cells: int = Field(ge=100, le=1_000_000)
    seed: Seed

    @model_validator(mode="after")
    def _enough_cells(self) -> Self:
        if self.cells < 4 * self.patients:
            raise ValueError(f"cells={self.cells} are too few for patients={self.patients}: take four a patient")
        return self


class Download(Section):
    """Where the images come from."""

    source: Literal["nih", "synthetic"]
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    synthetic: Synthetic


class Split(Section):
    """Which cells train, validate and test."""

    by: Literal["patient", "cell"]
    folds: int = Field(ge=2, le=100)
    fold: int = Field(ge=0)
    val: float = Field(gt=0, le=0.5)
    seed: Seed

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.fold >= self.folds:
            raise ValueError(f"fold={self.fold} is not one of folds={self.folds}: take 0 to {self.folds - 1}")
        return self


class Preprocess(Section):
    """How a cell becomes a square of pixels."""

    size: int = Field(ge=32, le=512)
    fit: Literal["stretch", "pad"]


class Train(Section):
    """The model and its training."""

    arch: Literal["simple_cnn", "small_resnet", "resnet18", "mobilenet_v3_small", "efficientnet_b0"]
    pretrained: bool
    weights: str | None
    freeze: int = Field(ge=0)
    color: Literal["balance", "keep"]
    augment: Literal["none", "flips", "color", "full", "robust", "randaugment", "mixup", "cutmix"]
    epochs: int = Field(ge=1, le=1000)
    batch_size: int = Field(ge=2, le=65536)
    optimizer: Literal["adam", "adamw", "sgd"]
    lr: float = Field(gt=0)
    schedule: Literal["one_cycle", "constant"]
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=0.5)
    precision: Literal["auto", "fp32", "bf16"]
    devices: int = Field(ge=1)
    seed: Seed

    @model_validator(mode="after")
    def _pretrained_is_whole(self) -> Self:
        if not self.pretrained and (self.weights is not None or self.freeze):
            raise ValueError("weights and freeze are of pretrained networks: take pretrained=true, or null and 0")
        if self.freeze >= self.epochs and self.freeze:
            raise ValueError(f"freeze={self.freeze} leaves none of epochs={self.epochs} for the whole network")
        return self


class Evaluate(Section):
    """How predictions are judged."""

    threshold: Literal["default", "specificity_95", "specificity_99", "sensitivity_95", "sensitivity_98"]
    tta: bool
    doubt: float = Field(gt=0, lt=0.5)
    abstain: float = Field(ge=0, lt=1)
    unlike: float = Field(ge=0, lt=1)


class Params(Section):
    """The whole of params.yaml."""

    download: Download
    split: Split
    preprocess: Preprocess
    train: Train
    evaluate: Evaluate


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check all of params.yaml.

    ruamel, not PyYAML: `dvc exp run -S train.lr=1e-5` writes `1e-05`, a string to YAML 1.1 and a number to 1.2.

    Raises:
        ParamsError: naming each key that is missing, unknown, of a wrong type or out of range.
    """
    try:
        tree = YAML(typ="safe", pure=True).load(Path(path))
        return Params.model_validate(tree)
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run this from the top of the repository") from None
    except YAMLError as error:
        raise ParamsError(f"{path}: not YAML: {error}") from None
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'file'}: {_say(e['msg'], e['input'])}" for e in error.errors()]
        raise ParamsError("\n".join([f"{path}: cannot be used, nothing was run:", *lines])) from None


def _say(message: str, value: object) -> str:
    """One complaint of pydantic's with the value it is about, unless that is a whole section."""
    return message if isinstance(value, dict) else f"{message} (it is {value!r})"
