"""What another laboratory does to a cell: its stain, its microscope and camera, and how the cell was cut out.

Random changes of (N, 3, H, W) floats in 0..1, black around the cell, each cell in its own way. They keep the diagnosis.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import conv2d, interpolate, max_pool2d, pad

from malaria.model.dataset import find_inside

STAINED = 0.6  # share of the cells
MIXING, STAINING = 0.15, 0.15  # of a channel's density: what comes from another channel, -x .. x; factors 1-x .. 1+x
DENSITY, CONTRAST = (0.6, 1.9), (0.5, 3.0)  # factors of optical density, and of the distance from the cell's mean
PALLOR = (-0.5, 0.8)  # how much lighter the middle of a cell is: 1 as light as the background; below 0 it is darker
SHADE, SHADES = 0.6, 3  # standard deviation of a smooth change of density, and how many px a side it has, 2 + 1 .. x
BLUR, SHARPEN, NOISE = 2.0, 2.0, 0.05  # sigma in px; how much of the detail is added; standard deviation
RIM, LOOSE = 3, 4  # px at 64: how far a mask is eroded or dilated, at the most
CUT = (0.45, 0.9)  # of half the side: the distance from the middle of a line beyond which a cell is cut off
LIGHT = (0.85, 1.15)  # the background that a loose mask shows, relative to the lightest pixel of the cell

Range = tuple[float, float]


def change_laboratory(batch: Tensor, random: Generator) -> Tensor:
    """Stain most of the cells anew, blur or sharpen a third, add noise to a quarter, spoil the mask of half."""
    batch = batch.clone()
    stained = slice(round((1 - STAINED) * len(batch)), None)
    batch[stained] = stain(batch[stained], random)
    for part, change in ((slice(0, None, 3), sharpen), (slice(1, None, 4), noise)):
        batch[part] = change(batch[part], random)
    for first, change in enumerate((erode, dilate, cut, crowd)):
        batch[first::8] = change(batch[first::8], random)
    return batch


def stain(batch: Tensor, random: Generator) -> Tensor:
    """Another stain, exposure and thickness of the cell: random optical densities, and contrast.

    By the law of Beer and Lambert the negative logarithm of a pixel is linear in the amounts of the dyes (Ruifrok and
    Johnston, 2001). The densities are mixed between the channels by a 3 x 3 matrix near the identity, and scaled: all,
    each channel, and the middle of the cell, whose pallor differs from smear to smear.
    """
    n, inside = len(batch), find_inside(batch)
    density = -torch.log(batch.clamp(min=1 / 255)).flatten(2)
    mixing = torch.eye(3, device=batch.device) + uniform(random, (-MIXING, MIXING), n, 3, 3)
    channel = 1 + uniform(random, (-STAINING, STAINING), n, 3, 1)
    matrix = mixing * channel * _factor(random, DENSITY, n, 1, 1)
    pallor = 1 - _middle(batch, random) * uniform(random, PALLOR, n, 1, 1, 1)
    mixed = (matrix @ density).view_as(batch) * pallor * _shade(batch, random)
    changed = torch.exp(-mixed) * inside
    level = changed.sum((2, 3), keepdim=True) / inside.sum((2, 3), keepdim=True).clamp(min=1)
    contrast = _factor(random, CONTRAST, n, 1, 1, 1)
    return _keep(level + (changed - level) * contrast, inside)


def sharpen(batch: Tensor, random: Generator) -> Tensor:
    """Out of focus, or sharpened by the camera: detail, of one size for all, is removed or added."""
    inside = find_inside(batch)
    weight = inside.float()
    sigma = 0.5 + (BLUR - 0.5) * torch.rand(1, generator=random, device=random.device)
    blurred = _blur(torch.cat([batch, weight], 1), sigma)
    low = blurred[:, :3] / blurred[:, 3:].clamp(min=1e-3)  # the black around the cell has no weight
    return _keep(batch + (batch - low) * uniform(random, (-1, SHARPEN), len(batch), 1, 1, 1), inside)


def noise(batch: Tensor, random: Generator) -> Tensor:
    """Gaussian, of a strength of its own for each cell."""
    strength = uniform(random, (0, NOISE), len(batch), 1, 1, 1)
    grains = torch.randn(batch.shape, generator=random, device=random.device)
    return _keep(batch + grains * strength, find_inside(batch))


def erode(batch: Tensor, random: Generator) -> Tensor:
    """A mask that takes less than the cell, by up to RIM px."""
    outside = (~find_inside(batch)).float()
    return batch * (1 - _grow(outside, _whole(random, RIM)))


def dilate(batch: Tensor, random: Generator) -> Tensor:
    """A mask that takes some of the background too, by up to LOOSE px."""
    inside = find_inside(batch).float()
    light = batch.amax((2, 3), keepdim=True) * uniform(random, LIGHT, len(batch), 1, 1, 1)
    return torch.where(inside > 0, batch, light.clamp(max=1) * _grow(inside, _whole(random, LOOSE)))


def cut(batch: Tensor, random: Generator) -> Tensor:
    """A straight line beyond which the cell is black, as at the edge of a photograph or between touching cells."""
    n, (height, width) = len(batch), batch.shape[2:]
    angle = uniform(random, (0, 2 * math.pi), n, 1, 1, 1)
    y, x = _grid(height, width, batch.device)
    return batch * (x * angle.cos() + y * angle.sin() < uniform(random, CUT, n, 1, 1, 1))


def crowd(batch: Tensor, random: Generator) -> Tensor:
    """Parts of another cell, moved to any side, where it is black: neighbours that were not cut away."""
    side = batch.shape[-1]
    across, down = torch.randint(5 * side // 8, 7 * side // 8, (2,), generator=random, device=random.device).tolist()
    neighbour = batch.flip(0).roll((down, across), (2, 3))
    return torch.where(find_inside(batch), batch, neighbour)


def _middle(batch: Tensor, random: Generator) -> Tensor:
    """(N, 1, H, W): 1 around a point near the middle, falling to 0 at a distance of its own for each cell."""
    n, (height, width) = len(batch), batch.shape[2:]
    y, x = _grid(height, width, batch.device)
    left, top = uniform(random, (-0.25, 0.25), 2, n, 1, 1, 1)
    radius, softness = uniform(random, (0.25, 0.75), n, 1, 1, 1), uniform(random, (0.08, 0.3), n, 1, 1, 1)
    return torch.sigmoid((radius - torch.hypot(x - left, y - top)) / softness)


def _shade(batch: Tensor, random: Generator) -> Tensor:
    """(N, 1, H, W): smooth factors, for folds, overlaps and thickness: their logarithms are normal on a coarse grid."""
    n, side = len(batch), 2 + _whole(random, SHADES)
    spread = uniform(random, (0, SHADE), n, 1, 1, 1)
    coarse = torch.randn(n, 1, side, side, generator=random, device=random.device) * spread
    return torch.exp(interpolate(coarse, batch.shape[2:], mode="bicubic", align_corners=True))


def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """y (H, 1) and x (W) from -1 to 1."""
    return torch.linspace(-1, 1, height, device=device)[:, None], torch.linspace(-1, 1, width, device=device)


def _blur(batch: Tensor, sigma: Tensor) -> Tensor:
    reach = math.ceil(2 * BLUR)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=batch.device) / sigma) ** 2)
    weights = (kernel / kernel.sum()).expand(batch.shape[1], 1, -1)
    padded = pad(batch, [reach] * 4, mode="replicate")
    return conv2d(conv2d(padded, weights[:, :, None], groups=len(weights)), weights[..., None], groups=len(weights))


def _grow(mask: Tensor, by: int) -> Tensor:
    """A mask (N, 1, H, W) of 0 and 1, dilated by so many px."""
    return max_pool2d(mask, 2 * by + 1, 1, by)


def _keep(changed: Tensor, inside: Tensor) -> Tensor:
    """In range, and black where it was, and nowhere else."""
    return changed.clamp(1 / 255, 1) * inside


def _whole(random: Generator, most: int) -> int:
    return int(torch.randint(1, most + 1, (1,), generator=random, device=random.device))


def uniform(random: Generator, bounds: Range, *shape: int) -> Tensor:
    """Random numbers between two bounds."""
    low, high = bounds
    return low + (high - low) * torch.rand(*shape, generator=random, device=random.device)


def _factor(random: Generator, bounds: Range, *shape: int) -> Tensor:
    """Between bounds, as often below their geometric mean as above."""
    low, high = (math.log(bound) for bound in bounds)
    return torch.exp(uniform(random, (low, high), *shape))
