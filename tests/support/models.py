"""Networks, trainings and model folders to test with: small, of random weights, or with a known saliency map."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from malaria.core.artifacts import write_json
from malaria.evaluation.calibration import ErrorRates
from malaria.evaluation.model_card import ModelCard
from malaria.evaluation.ood import STATISTICS
from malaria.evaluation.thresholds import QUANTILES
from malaria.model.dataset import Cells
from malaria.model.trainer import Metrics, Storage, train_epochs
from malaria.model.weights import ModelConfig, build_from_config, make_config, save_model
from malaria.params import Precision, Train, load_params
from tests.support.scratch import ROOT

PARAMS = load_params(ROOT / "params.yaml")
ERROR_RATES = ErrorRates(  # sensitivity of 90 % and specificity of 98 % at a probability of 0.5
    logits=(-4.0, 0.0, 4.0),
    sensitivity=((49.0, 1.0), (90.0, 10.0), (5.0, 5.0)),
    specificity=((8, 2), (98, 2), (999, 1)),
)
NO_HASHES = np.zeros(0, np.uint64)  # of a model that was trained on nothing


class Redness(nn.Module):
    """Its logit is the mean of red minus blue, so that the saliency of a pixel is that difference there."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 4, 1, bias=False)
        self.maps.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0]])[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x).mean((2, 3)) @ torch.tensor([1.0, -1.0, 0.5, -0.5])


def config(arch: str, size: int = 32) -> ModelConfig:
    """The config of an architecture at that size, and else the default params."""
    train = PARAMS.train.model_copy(update={"arch": arch})
    return make_config(train, PARAMS.preprocess.model_copy(update={"size": size}), "fp32")


def train_params(**changes: Any) -> Train:
    """The section `train` of params.yaml, set to two epochs of small batches, with changes."""
    return Train(**(PARAMS.train.model_dump() | {"epochs": 2, "robust_epochs": 0, "batch_size": 16} | changes))


def make_cells(train: int, val: int) -> Cells:
    """Squares of noise of 32 px; the parasitized ones have a dark spot."""
    n = train + val
    random = torch.Generator().manual_seed(3)
    pixels = torch.randint(120, 255, (n, 32, 32, 3), generator=random, dtype=torch.uint8)
    pixels[1::2, 10:18, 12:20] //= 4
    return Cells(pixels, (torch.arange(n) % 2).float(), {"train": torch.arange(train), "val": torch.arange(train, n)})


def fit(
    params: Train,
    cells: Cells,
    checkpoint: Storage | None = None,
    stop_after: int | None = None,
    precision: Precision = "fp32",
) -> tuple[nn.Module, list[Metrics]]:
    """The model and metrics of a training, interrupted after so many epochs."""
    torch.manual_seed(params.seed)
    model = build_from_config(config(params.arch))
    metrics = []
    for epoch in train_epochs(model, cells, params, precision, checkpoint):
        metrics.append(epoch)
        if len(metrics) == stop_after:
            break
    return model, metrics


def same_weights(one: nn.Module, two: nn.Module) -> bool:
    """Whether two models of one architecture are equal to the last bit."""
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def make_card(of: ModelConfig, **changes: Any) -> ModelCard:
    """A model card to which nothing is out of distribution, unless changed."""
    chosen: dict[str, Any] = {
        "trained_on": "a few cells",
        "tta": False,
        "temperature": 1.5,
        "operating_point": "default",
        "threshold": 0.5,
        "operating_points": {"default": 0.5, "sensitivity_98": 0.1, "specificity_99": None},
        "abstain": 0.1,
        "val_logit_quantiles": (8 * QUANTILES - 4).tolist(),  # uniform from -4 to 4
        "reference_quantiles": dict.fromkeys(STATISTICS, (-9.0, 0.0, 9.0)),
        "ood_limit": 1.0,
        "error_rates": ERROR_RATES,
        "saliency_peak": 0.01,
        "parameters": 10,
        "macs": 100,
    }
    return ModelCard(**of.model_dump(), **(chosen | changes))


def make_model(
    folder: Path, arch: str = "small_resnet", size: int = 32, hashes: Sequence[int] = (), **changes: Any
) -> Path:
    """A model folder with random weights, the hashes of its training cells, and its card with changes."""
    torch.manual_seed(0)
    of = config(arch, size)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder / "model.safetensors", build_from_config(of), of, np.array(hashes, np.uint64))
    write_json(folder / "model.json", make_card(of, **changes).model_dump())
    return folder
