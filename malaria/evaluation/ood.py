"""Out-of-distribution (OOD) detection: image statistics of a cell, compared with those of the training cells.

The training cells are augmented as in training: what the network has learned to see past is not out of distribution.

Not the network's own features: measured on photographs, noise and cells on other backgrounds, most of these pass by
them (docs/RESULTS.md), since a network keeps what tells parasites and drops the rest.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn

from malaria.model.augment import augment
from malaria.model.dataset import CellFile, Cells, find_inside, to_floats
from malaria.model.inference import BATCH
from malaria.params import Augment

STATISTICS = {  # over the pixels of the cell, unless said; and what an extreme one means
    # mean gray, 0..1
    "brightness": "it is much brighter or darker than they are",
    # mean red less green, and blue less green
    "redness": "it is much more or less red than they are",
    "blueness": "it is much more or less blue than they are",
    # standard deviation of gray
    "contrast": "its contrast is much stronger or weaker than theirs",
    # mean step of gray from a pixel to its diagonal neighbour
    "roughness": "it is much grainier or smoother than they are",
    # share that is not black of the image, of its middle half, its outermost pixels, and its corners, a tenth of the
    # side each way
    "area": "the cell fills much more or less of it than theirs do",
    "centre": "its middle is black where theirs is a cell",
    "edges": "much more or less of its edges is black than of theirs",
    "corners": "its corners are not black, as theirs are",
}
TAIL = 0.0005  # share of the training cells beyond each of the outer reference quantiles

ReferenceQuantiles = dict[str, tuple[float, float, float]]  # by statistic: TAIL, the median, 1 - TAIL


def image_statistics(batch: Tensor) -> Tensor:
    """The STATISTICS (N, 9) of (N, 3, size, size) floats in 0..1."""
    size = batch.shape[-1]
    inside = find_inside(batch)[:, 0].float()
    within = inside.sum((1, 2)).clamp(min=1)
    red, green, blue = (batch.sum((2, 3)) / within[:, None]).unbind(1)
    gray = batch.mean(1)
    brightness = gray.sum((1, 2)) / within
    contrast = ((gray - brightness[:, None, None]).square() * inside).sum((1, 2)).div(within).sqrt()
    both = inside[:, 1:, 1:] * inside[:, :-1, :-1]
    steps = ((gray[:, 1:, 1:] - gray[:, :-1, :-1]).abs() * both).sum((1, 2)) / both.sum((1, 2)).clamp(min=1)
    quarter, tenth = size // 4, size // 10
    centre = inside[:, quarter:-quarter, quarter:-quarter].mean((1, 2))
    edges = torch.cat([inside[:, 0], inside[:, -1], inside[:, :, 0], inside[:, :, -1]], 1).mean(1)
    left_right = torch.cat([inside[:, :, :tenth], inside[:, :, -tenth:]], 2)
    corners = torch.cat([left_right[:, :tenth], left_right[:, -tenth:]], 1).mean((1, 2))
    area = inside.mean((1, 2))
    return torch.stack([brightness, red - green, blue - green, contrast, steps, area, centre, edges, corners], 1)


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


class Comparison(NamedTuple):
    """The reference quantiles of the augmented training cells, the OOD scores (N,) of some cells as they are, and
    those of val's cells, augmented (M,).
    """

    quantiles: ReferenceQuantiles
    scores: Tensor
    augmented_val: Tensor


def compare_with_training(cells: Cells, rows: Tensor, policy: Augment) -> Comparison:
    """Compare some rows, and val's, with those of train; on the CPU."""
    train, val = (measure_augmented(cells, cells.rows[name], policy) for name in ("train", "val"))
    score = OODScore(quantiles := find_quantiles(train)).score
    return Comparison(quantiles, score(measure_cells(cells.pixels, rows)).amax(1), score(val).amax(1))


@torch.inference_mode()
def measure_augmented(cells: Cells, rows: Tensor, policy: Augment) -> Tensor:
    """The statistics (len(rows), 9) of one draw of each cell as it is augmented in training."""
    random = Generator(cells.labels.device).manual_seed(0)
    parts = torch.split(rows, BATCH[cells.labels.device.type])
    batches = (augment(cells.pixels[part], cells.labels[part], policy, random)[0] for part in parts)
    return torch.cat([image_statistics(batch).cpu() for batch in batches])
