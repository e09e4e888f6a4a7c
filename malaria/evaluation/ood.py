"""Out-of-distribution (OOD) detection: image statistics of a cell, compared with those of the training cells.

Not the network's own features: measured on photographs, noise and cells on other backgrounds, most of these pass by
them (docs/RESULTS.md), since a network keeps what tells parasites and drops the rest.
"""

import numpy as np
import torch
from torch import Tensor, nn

from malaria.model.dataset import CellFile, Cells, find_inside, to_floats
from malaria.model.inference import BATCH

STATISTICS = {  # over the pixels of the cell, unless said; and what an extreme one means
    # logarithms of mean red over mean green, and of mean blue over mean green
    "red_to_green": "it is much more or less red than they are",
    "blue_to_green": "it is much more or less blue than they are",
    # of gray, the mean of the channels when each is divided by its mean: brightness does not matter, as it does not to
    # the network, which balances colours; its standard deviation, and mean step from a pixel to its diagonal neighbour
    "contrast": "its contrast is much stronger or weaker than theirs",
    "roughness": "it is much grainier or smoother than they are",
    # share of the cell in which green is below DARK of its mean: a parasite covers little, a white cell's nucleus much
    "dark": "much more of it is dark than of theirs",
    # share that is not black of the image, of its middle half, its outermost pixels, and its corners, a tenth of the
    # side each way
    "area": "the cell fills much more or less of it than theirs do",
    "centre": "its middle is black where theirs is a cell",
    "edges": "much more or less of its edges is black than of theirs",
    "corners": "its corners are not black, as theirs are",
}
DARKEST = 1 / 255  # of the mean of a channel
DARK = 0.65  # of the mean: 5 % of a typical cell of NIH's is that dark, 22 % of one in 2,000, 25 to 34 of white cells
TAIL = 0.0005  # share of the training cells beyond each of the outer reference quantiles

ReferenceQuantiles = dict[str, tuple[float, float, float]]  # by statistic: TAIL, the median, 1 - TAIL


def image_statistics(batch: Tensor) -> Tensor:
    """The STATISTICS (N, 9) of (N, 3, size, size) floats in 0..1."""
    size = batch.shape[-1]
    inside = find_inside(batch)[:, 0].float()
    within = inside.sum((1, 2)).clamp(min=1)
    mean = (batch.sum((2, 3)) / within[:, None]).clamp(min=DARKEST)
    red, green, blue = mean.log().unbind(1)
    gray = (batch / mean[:, :, None, None]).mean(1)
    level = gray.sum((1, 2)) / within
    contrast = ((gray - level[:, None, None]).square() * inside).sum((1, 2)).div(within).sqrt()
    both = inside[:, 1:, 1:] * inside[:, :-1, :-1]
    steps = ((gray[:, 1:, 1:] - gray[:, :-1, :-1]).abs() * both).sum((1, 2)) / both.sum((1, 2)).clamp(min=1)
    dark = ((batch[:, 1] < DARK * mean[:, 1, None, None]).float() * inside).sum((1, 2)) / within
    quarter, tenth = size // 4, size // 10
    centre = inside[:, quarter:-quarter, quarter:-quarter].mean((1, 2))
    edges = torch.cat([inside[:, 0], inside[:, -1], inside[:, :, 0], inside[:, :, -1]], 1).mean(1)
    left_right = torch.cat([inside[:, :, :tenth], inside[:, :, -tenth:]], 2)
    corners = torch.cat([left_right[:, :tenth], left_right[:, -tenth:]], 1).mean((1, 2))
    area = inside.mean((1, 2))
    return torch.stack([red - green, blue - green, contrast, steps, dark, area, centre, edges, corners], 1)


@torch.inference_mode()
def measure_cells(cells: Tensor | CellFile, rows: Tensor) -> Tensor:
    """The statistics (len(rows), 9), on the CPU, of some rows of (N, size, size, 3) uint8 cells."""
    parts = torch.split(rows, BATCH[cells.device.type])
    return torch.cat([image_statistics(to_floats(cells[part])).cpu() for part in parts])


def find_quantiles(statistics: Tensor) -> ReferenceQuantiles:
    """The reference quantiles of the statistics (N, 9) of the training cells."""
    low, middle, high = np.quantile(statistics.double().numpy(), [TAIL, 0.5, 1 - TAIL], axis=0).round(6).tolist()
    return dict(zip(STATISTICS, zip(low, middle, high, strict=True), strict=True))


class OODScore(nn.Module):
    """(N, 3, size, size) floats to the score of each statistic, (N, 9): 0 at the median, 1 at an outer quantile.

    The OOD score of a cell is the largest of them.
    """

    middle: Tensor
    below: Tensor
    above: Tensor

    def __init__(self, quantiles: ReferenceQuantiles) -> None:
        super().__init__()
        low, middle, high = torch.tensor([quantiles[name] for name in STATISTICS]).unbind(1)
        self.register_buffer("middle", middle)
        self.register_buffer("below", (middle - low).clamp(min=1e-3))  # a statistic may be the same in all cells
        self.register_buffer("above", (high - middle).clamp(min=1e-3))

    def forward(self, batch: Tensor) -> Tensor:
        return self.score(image_statistics(batch))

    def score(self, statistics: Tensor) -> Tensor:
        """The same of statistics (N, 9)."""
        away = statistics - self.middle
        return torch.maximum(away / self.above, -away / self.below)


def compare_with_training(cells: Cells, rows: Tensor) -> tuple[ReferenceQuantiles, Tensor]:
    """The reference quantiles of the cells of train, and the OOD scores (len(rows),) of some rows, on the CPU."""
    quantiles = find_quantiles(measure_cells(cells.pixels, cells.rows["train"]))
    return quantiles, OODScore(quantiles).score(measure_cells(cells.pixels, rows)).amax(1)
