"""models/model.json: what it takes to use the weights, for people and for programs without torch."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from malaria.model_files import Recipe
from malaria.traits import Usual


class ModelCard(Recipe):
    """The recipe, what evaluation chose on val, and what a prediction costs.

    A cell is called parasitized where sigmoid(logit / temperature) >= threshold; that call is doubtful where
    logit / temperature is nearer than doubt_margin to the logit of the threshold. The cell is unlike the training cells
    where the largest of its deviations from what is usual (malaria/traits.py) is above unlike_above.
    """

    tta: bool  # whether the logit is the mean over the eight symmetries of the cell
    temperature: float
    operating_point: str  # the name of the threshold's, in plots/operating_points.csv
    threshold: float
    operating_points: dict[str, float | None]  # the thresholds of all; None where val could not choose one
    doubt_margin: float
    usual: Usual  # by trait, the low end, median and high end of the training cells
    unlike_above: float
    evidence_peak: float  # of Grad-CAM, in the median parasitized cell of val: the scale of its pictures
    weights: int  # how many
    macs: int  # multiplications with addition that one view of a cell takes


def count_macs(model: nn.Module, size: int) -> int:
    """Multiplications with addition in the convolutions and layers of a forward pass of one cell."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(torch.zeros(1, 3, size, size))
    return int(counter.get_total_flops()) // 2
