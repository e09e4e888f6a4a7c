"""Test-time augmentation: a cell has no right way up, so ask the network about it from all sides."""

import torch
from torch import Tensor, nn


class EightViews(nn.Module):
    """The mean logit of (N, 3, size, size) cells over the eight symmetries of the square."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        turned = [x, x.flip(2), x.flip(3), x.flip(2, 3)]
        views = turned + [view.transpose(2, 3) for view in turned]
        return torch.stack([self.model(view) for view in views]).mean(0)
