"""Random changes of a training batch that leave the diagnosis as it is: in batch, on the batch's device.

Cells lie in no particular orientation and stains vary from smear to smear, so turning, mirroring and recolouring a
cell gives one that could have been seen. What is turned in from outside is black, as the background is.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample

SHEAR, ZOOM, SHIFT = 0.1, 0.15, 0.05  # ratio; ratio; share of the side: each -x .. x
BRIGHTNESS, CONTRAST, SATURATION, TINT = 0.2, 0.2, 0.2, 0.08  # factors 1-x .. 1+x; tint a channel


def augment(batch: Tensor, policy: str, random: Generator) -> Tensor:
    """Apply a policy of AUGMENTATIONS to (N, 3, H, W) floats in 0..1; the same shape and range comes back."""
    return AUGMENTATIONS[policy](batch, random)


def _none(batch: Tensor, random: Generator) -> Tensor:
    return batch


def _flips(batch: Tensor, random: Generator) -> Tensor:
    """One of the eight symmetries of the square for each cell, exactly: no pixel is interpolated."""
    for dims in ((2,), (3,)):
        batch = torch.where(_coin(random, len(batch)), batch.flip(dims), batch)
    return torch.where(_coin(random, len(batch)), batch.transpose(2, 3), batch)


def _flips_and_color(batch: Tensor, random: Generator) -> Tensor:
    return _color(_flips(batch, random), random)


def _full(batch: Tensor, random: Generator) -> Tensor:
    """Color and flips for all; any turn for the first half of the batch, since interpolation blurs small parasites."""
    batch = _flips_and_color(batch, random)
    half = (len(batch) + 1) // 2
    return torch.cat([_affine(batch[:half], random), batch[half:]])


def _coin(random: Generator, n: int) -> Tensor:
    """Heads or tails for each of n cells, (n, 1, 1, 1)."""
    return torch.rand(n, 1, 1, 1, generator=random, device=random.device) < 0.5


def _uniform(random: Generator, spread: float, *shape: int) -> Tensor:
    """Numbers from -spread to spread."""
    return (torch.rand(*shape, generator=random, device=random.device) * 2 - 1) * spread


def _affine(batch: Tensor, random: Generator) -> Tensor:
    """Turn each cell to any side, and shear, zoom and shift it by a little of its own."""
    n = len(batch)
    turn, shear = _uniform(random, torch.pi, n), _uniform(random, SHEAR, n)
    zoom_x, zoom_y = 1 + _uniform(random, ZOOM, n), 1 + _uniform(random, ZOOM, n)
    shift = _uniform(random, 2 * SHIFT, n, 2)
    cos, sin = torch.cos(turn), torch.sin(turn)
    rows = [
        torch.stack([cos * zoom_x, (shear - sin) * zoom_y, shift[:, 0]], 1),
        torch.stack([(sin + shear) * zoom_x, cos * zoom_y, shift[:, 1]], 1),
    ]
    grid = affine_grid(torch.stack(rows, 1), list(batch.shape), align_corners=False)
    return grid_sample(batch, grid, align_corners=False)


def _color(batch: Tensor, random: Generator) -> Tensor:
    """Change saturation, contrast and the brightness of each channel; black stays black."""
    n = len(batch)
    saturation = 1 + _uniform(random, SATURATION, n, 1, 1, 1)
    contrast = 1 + _uniform(random, CONTRAST, n, 1, 1, 1)
    gain = 1 + _uniform(random, BRIGHTNESS, n, 1, 1, 1) + _uniform(random, TINT, n, 3, 1, 1)
    cell = batch.amax(1, keepdim=True) > 0
    gray = batch.mean(1, keepdim=True)
    level = gray.sum((2, 3), keepdim=True) / cell.sum((2, 3), keepdim=True).clamp(min=1)
    batch = gray + (batch - gray) * saturation
    batch = level + (batch - level) * contrast
    return (batch * gain * cell).clamp(0, 1)


AUGMENTATIONS: dict[str, Callable[[Tensor, Generator], Tensor]] = {
    "none": _none,
    "flips": _flips,
    "color": _flips_and_color,
    "full": _full,
}
