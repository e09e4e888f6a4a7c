"""The schema of params.yaml, checked before any stage starts.

No field has a default and none is computed: this module only accepts or refuses values. What a stage makes depends on
the values, which DVC tracks under `params:`, so no stage depends on this module.
"""

from pathlib import Path
from reprlib import Repr
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from malaria.core.errors import UserError

FLOAT32 = 1e30  # about the largest float32: torch stops at more without naming the param


def modules_in(folder: str) -> list[str]:
    """The modules of a package of this library, by name, without importing them."""
    return sorted(path.stem for path in (Path(__file__).parent / folder).glob("[!_]*.py"))


def _a_module_in(folder: str) -> AfterValidator:
    def check(name: str) -> str:
        if name not in (names := modules_in(folder)):
            raise ValueError(f"malaria/{folder} has no {name}.py; it has {', '.join(names)}")
        return name

    return AfterValidator(check)


NOTHING = "inputs/none"  # no file, where a param may name one: DVC wants a dependency to exist

PathName = Annotated[str, Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Arch = Annotated[str, _a_module_in("architectures")]
Source = Annotated[str, _a_module_in("sources")]
Fit = Literal["stretch", "pad"]
Mask = Literal["auto", "none"]
Unsegmented = Literal["drop", "keep"]
Color = Literal["balance", "keep"]
Augment = Literal["none", "flips", "color", "full", "robust", "randaugment", "mixup", "cutmix"]
Precision = Literal["fp32", "bf16"]
OperatingPoint = Literal["default", "specificity_95", "specificity_99", "sensitivity_95", "sensitivity_98"]

_shorten = Repr()
_shorten.maxlevel = 2
_shorten.maxstring = _shorten.maxlong = _shorten.maxother = 100  # characters


class ParamsError(UserError):
    """params.yaml cannot be used."""


class Section(BaseModel):
    """A frozen part of params.yaml: every key is required, no other is allowed, no type is guessed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Synthetic(Section):
    """The drawn cells."""

    patients: int = Field(ge=10, le=1000)
    cells: int = Field(ge=100, le=1_000_000)

    @model_validator(mode="after")
    def _enough_cells(self) -> Self:
        if self.cells < 4 * self.patients:
            raise ValueError(
                f"download.synthetic.cells={self.cells} are too few for "
                f"download.synthetic.patients={self.patients}: take four a patient"
            )
        return self


class Download(Section):
    """Where the images come from."""

    source: Source
    path: PathName
    classes: list[Annotated[str, Field(min_length=1)]] = Field(min_length=2, max_length=2)
    sha256: Sha256 | None
    synthetic: Synthetic

    @model_validator(mode="after")
    def _own_cells_are_named(self) -> Self:
        if self.source == "own" and self.path == NOTHING:
            raise ValueError("download.path must name your cells where download.source=own: a folder or a file")
        if self.classes[0] == self.classes[1]:
            raise ValueError(f"download.classes must be two names; both are {self.classes[0]}")
        return self


class Split(Section):
    """Which cells train, validate and test."""

    by: Literal["patient", "cell"]
    folds: int = Field(ge=2, le=100)
    fold: int = Field(ge=0)
    test_patients: list[Annotated[str, Field(min_length=1)]] | None = Field(min_length=1)
    val: float = Field(ge=0.01, le=0.5)
    seed: Seed

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.fold >= self.folds:
            raise ValueError(
                f"split.fold={self.fold} is not one of split.folds={self.folds}: take 0 to {self.folds - 1}"
            )
        return self


class Preprocess(Section):
    """How a cell becomes a square of pixels."""

    size: int = Field(ge=32, le=512)
    fit: Fit
    mask: Mask
    unsegmented: Unsegmented


class Train(Section):
    """The model and its training."""

    arch: Arch
    init: PathName
    weights: Literal["imagenet"] | None
    freeze: int = Field(ge=0)
    color: Color
    augment: Augment
    epochs: int = Field(ge=1, le=1000)
    robust_epochs: int = Field(ge=0, le=1000)
    batch_size: int = Field(ge=2, le=65536)
    optimizer: Literal["adam", "adamw", "sgd"]
    lr: float = Field(gt=0, le=FLOAT32)
    schedule: Literal["one_cycle", "constant"]
    weight_decay: float = Field(ge=0, le=FLOAT32)
    label_smoothing: float = Field(ge=0, lt=0.5)
    precision: Literal["auto", "fp32", "bf16"]
    seed: Seed

    @property
    def last_augment(self) -> Augment:
        """The augmentation of the last epochs."""
        return "robust" if self.robust_epochs else self.augment

    @model_validator(mode="after")
    def _freeze_fits(self) -> Self:
        if self.freeze and self.weights is None and self.init == NOTHING:
            raise ValueError("train.freeze is of pretrained networks: take train.freeze=0, or set train.init")
        if self.freeze >= self.epochs:
            raise ValueError(
                f"train.freeze={self.freeze} leaves none of train.epochs={self.epochs} for the whole network"
            )
        return self

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.weights is not None and self.init != NOTHING:
            raise ValueError(f"train.weights={self.weights} and train.init={self.init} are two starts: take one")
        return self


class Evaluate(Section):
    """How predictions are evaluated."""

    threshold: OperatingPoint
    tta: bool
    label_error: float = Field(gt=0, lt=0.5)
    abstain: float = Field(ge=0, lt=1)
    ood: float = Field(ge=0, lt=1)
    doubted: PathName
    corrections: PathName


class Params(Section):
    """The whole of params.yaml."""

    download: Download
    split: Split
    preprocess: Preprocess
    train: Train
    evaluate: Evaluate

    @model_validator(mode="after")
    def _drawn_cells_can_be_split(self) -> Self:
        if self.download.source == "synthetic":
            _check_parts(self.download.synthetic, self.split)
        return self


def _check_parts(drawn: Synthetic, split: Split) -> None:
    """Refuse more parts than there are patients, or cells, with parasites, so that one would surely have none.

    What is left is for malaria/data/splits.py to refuse: it knows how many cells each patient has.
    """
    if split.by == "patient":
        units, of = drawn.patients - drawn.patients // 4, f"patients={drawn.patients}"
        rest = units - 1  # one of them at least is in test
    else:
        units, of = drawn.cells // 2, f"cells={drawn.cells}"
        rest = units - units // split.folds
    if split.folds > units:
        raise ValueError(
            f"split.folds={split.folds} are too many: of download.synthetic.{of} only {units} are parasitized; "
            "lower split.folds"
        )
    if round(1 / split.val) > rest:
        raise ValueError(
            f"split.val={split.val} is too small: of download.synthetic.{of} at most {rest} parasitized are left by "
            "the fold of test; raise split.val"
        )


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check all of params.yaml.

    ruamel, not PyYAML: `dvc exp run -S train.lr=1e-5` writes `1e-05`, a string to YAML 1.1 and a number to 1.2.

    Raises:
        ParamsError: naming each key that is missing, unknown, of a wrong type or out of range.
    """
    try:
        return Params.model_validate(YAML(typ="safe", pure=True).load(Path(path)))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run this from the top of the repository") from None
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read: {error.strerror}") from None
    except YAMLError as error:
        raise ParamsError(f"{path}: not YAML: {error}") from None
    except ValidationError as error:
        lines = [f"  {_complain(e)}" for e in error.errors()]
        raise ParamsError("\n".join([f"{path}: cannot be used, nothing was run:", *lines])) from None
    except (ValueError, RecursionError) as error:  # of a date or number that cannot be, or of endless brackets
        raise ParamsError(f"{path}: not YAML: {error}") from None


def _complain(error: Any) -> str:
    """One complaint of pydantic's: the key, what is wrong, and what is there, unless that is a whole section."""
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "value_error" and isinstance(error["input"], dict):  # a contradiction, which names its keys
        return message
    key = ".".join(_name(part) for part in error["loc"]) or "file"
    return f"{key}: {message}" if isinstance(error["input"], dict) else f"{key}: {message} (it is {_show(error)})"


def _name(part: object) -> str:
    """A part of a key; quoted where it would not show as what it is."""
    return str(part) if str(part).isprintable() and part != "" else repr(part)


def _show(error: Any) -> str:
    try:
        return _shorten.repr(error["input"])
    except ValueError:  # Python does not print an integer of thousands of digits
        return "a number of thousands of digits"
