"""Random changes of a training batch that leave the diagnosis as it is: in batch, on the batch's device.

Cells lie in no particular orientation and stains vary from smear to smear, so turning, mirroring and recolouring a
cell gives one that could have been seen. What is turned in from outside is black, as the background is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample

from malaria.model.dataset import to_floats
from malaria.model.laboratory import change_laboratory, uniform
from malaria.params import Augment as Policy

SHEAR, ZOOM, SHIFT = 0.1, 0.15, 0.05  # ratio; ratio; share of the side: each -x .. x
BRIGHTNESS, CONTRAST, SATURATION, TINT = 0.2, 0.2, 0.2, 0.08  # factors 1-x .. 1+x; tint a channel
OPERATIONS, MAGNITUDE = 2, 5  # of randaugment: how many of torchvision's a cell, and how strong, 0 .. 30

Change = Callable[[Tensor, Generator], Tensor]
Mix = Callable[[Tensor, Tensor, Generator], tuple[Tensor, Tensor]]


def augment(cells: Tensor, labels: Tensor, policy: Policy, random: Generator) -> tuple[Tensor, Tensor]:
    """Apply a policy of AUGMENTATIONS to (N, H, W, 3) uint8 cells and their (N,) labels in 0..1.

    Back come (N, 3, H, W) floats in 0..1 and labels, which only a policy that mixes cells changes.
    """
    chosen = AUGMENTATIONS[policy]
    batch = to_floats(chosen.turn(cells, random))
    return chosen.mix(chosen.change(batch, random), labels, random)


def _same(batch: Tensor, random: Generator) -> Tensor:
    return batch


def _flips(cells: Tensor, random: Generator) -> Tensor:
    """One of the eight symmetries of the square for each of (N, H, H, 3), exactly: no pixel is interpolated."""
    n, side = cells.shape[:2]
    which = sum(_coin(random, n) << bit for bit in range(3))
    first = torch.arange(0, n * side**2, side**2, device=cells.device).view(n, 1, 1)
    pixels = _symmetries(side, cells.device)[which] + first
    return cells.reshape(-1, 3).index_select(0, pixels.flatten()).view_as(cells)


@cache
def _symmetries(side: int, device: torch.device) -> Tensor:
    """For each of the eight, which pixel comes where: one look-up, where flip and transpose would copy three times."""
    pixels = torch.arange(side**2, device=device).view(1, side, side)
    for dims in ((1,), (2,)):
        pixels = torch.cat([pixels, pixels.flip(dims)])
    return torch.cat([pixels, pixels.transpose(1, 2)])


def _color_and_affine(batch: Tensor, random: Generator) -> Tensor:
    """Color for all; any turn for the first half of the batch alone, since interpolation blurs small parasites."""
    batch = _color(batch, random)
    half = (len(batch) + 1) // 2
    batch[:half] = _affine(batch[:half], random)
    return batch


def _robust(batch: Tensor, random: Generator) -> Tensor:
    return change_laboratory(_color_and_affine(batch, random), random)


def _randaugment(batch: Tensor, random: Generator) -> Tensor:
    """torchvision's RandAugment (Cubuk et al., 2020), drawn once for each eighth of the batch."""
    from torchvision.transforms.v2 import RandAugment  # takes a second, and only this policy needs it

    randaugment = RandAugment(OPERATIONS, MAGNITUDE)
    with torch.random.fork_rng():  # it draws from torch's own random numbers
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=random, device=random.device)))
        return torch.cat([randaugment(part) for part in batch.chunk(8)])


def _coin(random: Generator, n: int) -> Tensor:
    """Heads or tails for each of n cells, 0 or 1."""
    return (torch.rand(n, generator=random, device=random.device) < 0.5).int()


def _around_0(random: Generator, spread: float, *shape: int) -> Tensor:
    return uniform(random, (-spread, spread), *shape)


def _affine(batch: Tensor, random: Generator) -> Tensor:
    """Turn each cell to any side, and shear, zoom and shift it by a little of its own."""
    n = len(batch)
    turn, shear = _around_0(random, torch.pi, n), _around_0(random, SHEAR, n)
    zoom_x, zoom_y = 1 + _around_0(random, ZOOM, n), 1 + _around_0(random, ZOOM, n)
    shift = _around_0(random, 2 * SHIFT, n, 2)
    cos, sin = torch.cos(turn), torch.sin(turn)
    rows = [
        torch.stack([cos * zoom_x, (shear - sin) * zoom_y, shift[:, 0]], 1),
        torch.stack([(sin + shear) * zoom_x, cos * zoom_y, shift[:, 1]], 1),
    ]
    grid = affine_grid(torch.stack(rows, 1), list(batch.shape), align_corners=False)
    return grid_sample(batch, grid, align_corners=False)


def _color(batch: Tensor, random: Generator) -> Tensor:
    """Change saturation, contrast and the brightness of each channel; black stays black.

    saturation scales the distance from gray, contrast that from the cell's mean gray, gain the channel: together one
    3 x 3 matrix and one offset a cell, so that the pixels are passed over once.
    """
    n = len(batch)
    saturation = 1 + _around_0(random, SATURATION, n, 1, 1)
    contrast = 1 + _around_0(random, CONTRAST, n, 1, 1)
    gain = 1 + _around_0(random, BRIGHTNESS, n, 1, 1) + _around_0(random, TINT, n, 3, 1)
    pixels = batch.flatten(2)
    gray = pixels.mean(1, keepdim=True)
    cell = gray > 0
    level = gray.sum(2, keepdim=True) / cell.sum(2, keepdim=True).clamp(min=1)
    matrix = gain * contrast * (saturation * torch.eye(3, device=batch.device) + (1 - saturation) / 3)
    changed = torch.baddbmm(gain * (1 - contrast) * level, matrix, pixels).clamp_(0, 1) * cell
    return changed.view_as(batch)


def _unmixed(batch: Tensor, labels: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
    return batch, labels


def _mixup(batch: Tensor, labels: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
    """Each cell fades into another, which has any share from none to all (Zhang et al., 2018, at alpha 1)."""
    share = torch.rand(len(batch), generator=random, device=random.device)
    return batch.lerp(batch.flip(0), share.view(-1, 1, 1, 1)), labels.lerp(labels.flip(0), share)


def _cutmix(batch: Tensor, labels: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
    """A square of each cell is taken from another, at one place a batch (Yun et al., 2019, at alpha 1)."""
    height, width = batch.shape[2:]
    area, y, x = torch.rand(3, generator=random, device=random.device).tolist()
    tall, wide = round(height * area**0.5), round(width * area**0.5)
    top, left = round(y * (height - tall)), round(x * (width - wide))
    mixed = batch.clone()
    mixed[:, :, top : top + tall, left : left + wide] = batch.flip(0)[:, :, top : top + tall, left : left + wide]
    return mixed, labels.lerp(labels.flip(0), tall * wide / (height * width))


@dataclass(frozen=True)
class Augmentation:
    """What a policy does to each cell, as bytes and then as floats, and how it mixes the cells of a batch."""

    turn: Change = _same  # a quarter of the memory to move
    change: Change = _same
    mix: Mix = _unmixed


AUGMENTATIONS = {
    "none": Augmentation(),
    "flips": Augmentation(_flips),
    "color": Augmentation(_flips, _color),
    "full": Augmentation(_flips, _color_and_affine),
    "robust": Augmentation(_flips, _robust),
    "randaugment": Augmentation(_flips, _randaugment),
    "mixup": Augmentation(_flips, _color_and_affine, _mixup),
    "cutmix": Augmentation(_flips, _color_and_affine, _cutmix),
}
