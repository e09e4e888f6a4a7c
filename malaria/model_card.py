"""models/model.json: what it takes to use the weights, for people and for programs without torch."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from malaria.model_files import Recipe


class ModelCard(Recipe):
    """The recipe, what evaluation chose on val, and what a prediction costs.

    A cell is called parasitized where sigmoid(logit / temperature) >= threshold.
    """

    tta: bool  # whether the logit is the mean over the eight symmetries of the cell
    temperature: float
    operating_point: str  # the name of the threshold's, in plots/operating_points.csv
    threshold: float
    weights: int  # how many
    macs: int  # multiplications with addition that one view of a cell takes


def count_macs(model: nn.Module, size: int) -> int:
    """Multiplications with addition in the convolutions and layers of a forward pass of one cell."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(torch.zeros(1, 3, size, size))
    return int(counter.get_total_flops()) // 2
