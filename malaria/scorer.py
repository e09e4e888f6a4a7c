"""A trained network with all that stands around it: from the bytes of a cell to what is said of it."""

import torch
from torch import Tensor, nn

from malaria.cells import to_floats
from malaria.model_card import ModelCard
from malaria.traits import Deviations
from malaria.views import EightViews


class Scorer(nn.Module):
    """(N, size, size, 3) uint8 cells to calibrated probabilities (N,) and deviations from the usual (N, 9).

    What predicts here, and what is exported to predict elsewhere.
    """

    def __init__(self, network: nn.Module, card: ModelCard) -> None:
        super().__init__()
        self.network = network
        self.judge = EightViews(network) if card.tta else network
        self.deviations = Deviations(card.usual)
        self.temperature = card.temperature

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        batch = to_floats(cells)
        return torch.sigmoid(self.judge(batch) / self.temperature), self.deviations(batch)
