"""Test-time augmentation: the mean over the eight symmetries of the square."""

import torch
from torch import nn

from malaria.model.inference import TTA


class Corner(nn.Module):
    """A network that sees one pixel, the right neighbour of the upper left corner."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0, 0, 1]


def test_each_symmetry_counts_once_whichever_way_a_cell_lies() -> None:
    for y, x in ((0, 1), (0, 2), (1, 0), (2, 0), (3, 1), (3, 2), (1, 3), (2, 3)):
        square = torch.zeros(1, 3, 4, 4)
        square[:, :, y, x] = 8.0  # one of the eight places that the symmetries bring to that neighbour
        assert TTA(Corner())(square).item() == 1
