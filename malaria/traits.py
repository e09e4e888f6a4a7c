"""Does a picture look like the cells that the network learned from? A few numbers of each, and what they usually are.

Not the network's own features: measured on photographs, noise and cells on other backgrounds, those let most of it pass
(docs/RESULTS.md), since a network keeps what tells parasites and drops the rest.
"""

import numpy as np
import torch
from torch import Tensor, nn

from malaria.cells import CellFile, Cells, find_inside, to_floats
from malaria.inference import BATCH

TRAITS = {  # over the pixels that are not black, unless said; with what one that is far off says of a picture
    # mean grey, 0..1
    "brightness": "it is much brighter or darker than they are",
    # mean red less green, and blue less green
    "redness": "it is much more or less red than they are",
    "blueness": "it is much more or less blue than they are",
    # standard deviation of grey
    "contrast": "its contrast is much stronger or weaker than theirs",
    # mean step of grey from a pixel to its diagonal neighbour
    "roughness": "it is much grainier or smoother than they are",
    # share that is not black of the picture, of its middle half, its outermost pixels, and its corners, a tenth of the
    # side each way
    "area": "the cell fills much more or less of it than theirs do",
    "centre": "its middle is black where theirs is a cell",
    "edges": "much more or less of its edges is black than of theirs",
    "corners": "its corners are not black, as theirs are",
}
TAIL = 0.0005  # of the training cells that lie beyond what is called usual, to either side

Usual = dict[str, tuple[float, float, float]]  # by trait, the low end, the median and the high end


def measure_traits(batch: Tensor) -> Tensor:
    """The TRAITS (N, 9) of (N, 3, size, size) floats in 0..1."""
    size = batch.shape[-1]
    inside = find_inside(batch)[:, 0].float()
    within = inside.sum((1, 2)).clamp(min=1)
    red, green, blue = (batch.sum((2, 3)) / within[:, None]).unbind(1)
    grey = batch.mean(1)
    brightness = grey.sum((1, 2)) / within
    contrast = ((grey - brightness[:, None, None]).square() * inside).sum((1, 2)).div(within).sqrt()
    both = inside[:, 1:, 1:] * inside[:, :-1, :-1]
    steps = ((grey[:, 1:, 1:] - grey[:, :-1, :-1]).abs() * both).sum((1, 2)) / both.sum((1, 2)).clamp(min=1)
    quarter, tenth = size // 4, size // 10
    centre = inside[:, quarter:-quarter, quarter:-quarter].mean((1, 2))
    edges = torch.cat([inside[:, 0], inside[:, -1], inside[:, :, 0], inside[:, :, -1]], 1).mean(1)
    left_right = torch.cat([inside[:, :, :tenth], inside[:, :, -tenth:]], 2)
    corners = torch.cat([left_right[:, :tenth], left_right[:, -tenth:]], 1).mean((1, 2))
    area = inside.mean((1, 2))
    return torch.stack([brightness, red - green, blue - green, contrast, steps, area, centre, edges, corners], 1)


@torch.inference_mode()
def measure_cells(cells: Tensor | CellFile, rows: Tensor) -> Tensor:
    """The traits (len(rows), 9), on the CPU, of some rows of (N, size, size, 3) uint8 cells."""
    parts = torch.split(rows, BATCH[cells.device.type])
    return torch.cat([measure_traits(to_floats(cells[part])).cpu() for part in parts])


def find_usual(traits: Tensor) -> Usual:
    """What the traits (N, 9) of the training cells usually are: all but TAIL of them to either side, and the median."""
    low, middle, high = np.quantile(traits.double().numpy(), [TAIL, 0.5, 1 - TAIL], axis=0).round(6).tolist()
    return dict(zip(TRAITS, zip(low, middle, high, strict=True), strict=True))


class Deviations(nn.Module):
    """(N, 3, size, size) floats to how far each trait lies from the median, (N, 9): 0 there, 1 at the end of the usual.

    The largest is the unlikeness of the picture.
    """

    middle: Tensor
    below: Tensor
    above: Tensor

    def __init__(self, usual: Usual) -> None:
        super().__init__()
        low, middle, high = torch.tensor([usual[name] for name in TRAITS]).unbind(1)
        self.register_buffer("middle", middle)
        self.register_buffer("below", (middle - low).clamp(min=1e-3))  # a trait may be the same in all cells
        self.register_buffer("above", (high - middle).clamp(min=1e-3))

    def forward(self, batch: Tensor) -> Tensor:
        return self.rate(measure_traits(batch))

    def rate(self, traits: Tensor) -> Tensor:
        """The same of traits (N, 9) already measured."""
        away = traits - self.middle
        return torch.maximum(away / self.above, -away / self.below)


def compare_with_training(cells: Cells, rows: Tensor) -> tuple[Usual, Tensor]:
    """What is usual among the cells of train, and how unlike them some rows are, (len(rows),) on the CPU."""
    usual = find_usual(measure_cells(cells.pixels, cells.rows["train"]))
    return usual, Deviations(usual).rate(measure_cells(cells.pixels, rows)).amax(1)
