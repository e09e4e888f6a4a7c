"""A network whose evidence is known, and recipes of others."""

import torch
from conftest import ROOT
from malaria.model_files import Recipe, make_recipe
from torch import Tensor, nn

from malaria.params import load_params


class Redness(nn.Module):
    """Its logit is the mean of red minus blue: the evidence at a pixel is that difference there."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 4, 1, bias=False)
        self.maps.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0]])[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x).mean((2, 3)) @ torch.tensor([1.0, -1.0, 0.5, -0.5])


def recipe(arch: str, size: int = 32) -> Recipe:
    """As if the architecture were trained at that size."""
    params = load_params(ROOT / "params.yaml")
    train, preprocess = params.train.model_copy(update={"arch": arch}), params.preprocess
    return make_recipe(train, preprocess.model_copy(update={"size": size}), "fp32")
