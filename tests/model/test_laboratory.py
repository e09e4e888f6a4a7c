"""Another laboratory changes a cell's look, and neither its place nor its detail."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from malaria.model import laboratory
from malaria.model.dataset import find_inside

Change = Callable[[Tensor, Generator], Tensor]

IN_THE_CELL = [laboratory.stain, laboratory.sharpen, laboratory.noise]
OF_THE_MASK = [laboratory.erode, laboratory.dilate, laboratory.cut, laboratory.crowd]


def random(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture
def batch() -> Tensor:
    """Pink discs on black, with a dark spot in each at another place."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    disc = (x**2 + y**2 < 0.6).float()
    places = torch.rand(40, 2, 1, 1, generator=random(1)) - 0.5
    spot = ((x - places[:, 0]) ** 2 + (y - places[:, 1]) ** 2 < 0.02).float()
    color = torch.tensor([0.8, 0.55, 0.65]).view(1, 3, 1, 1)
    return color * (disc * (1 - 0.6 * spot))[:, None]


@pytest.mark.parametrize("change", [*IN_THE_CELL, *OF_THE_MASK, laboratory.change_laboratory])
def test_it_stays_in_range_and_the_seed_decides(change: Change, batch: Tensor) -> None:
    before = batch.clone()
    once, again, other = (change(batch, random(seed)) for seed in (0, 0, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert torch.equal(batch, before)
    assert once.shape == batch.shape
    assert 0 <= once.min() <= once.max() <= 1


@pytest.mark.parametrize("change", IN_THE_CELL)
def test_the_outline_stays_where_the_look_changes(change: Change, batch: Tensor) -> None:
    assert torch.equal(find_inside(change(batch, random())), find_inside(batch))


def test_in_whatever_stain_the_parasite_is_the_darkest(batch: Tensor) -> None:
    gray = laboratory.stain(batch, random()).mean(1)
    spot, cell = batch.mean(1) < 0.4, find_inside(batch)[:, 0]
    inside = [float(gray[n][spot[n] & cell[n]].mean()) for n in range(len(batch))]
    around = [float(gray[n][~spot[n] & cell[n]].mean()) for n in range(len(batch))]
    assert sum(a < b for a, b in zip(inside, around, strict=True)) >= 38


def test_detail_is_removed_or_added(batch: Tensor) -> None:
    changed, inside = laboratory.sharpen(batch, random()), find_inside(batch)
    before, after = (it.mean(1, keepdim=True) for it in (batch, changed))
    ratios = [float(after[n][inside[n]].std() / before[n][inside[n]].std()) for n in range(len(batch))]
    assert min(ratios) < 0.97
    assert max(ratios) > 1.03


@pytest.mark.parametrize(
    ("change", "grows"),
    [(laboratory.erode, -1), (laboratory.cut, -1), (laboratory.dilate, 1), (laboratory.crowd, 1)],
)
def test_a_mask_takes_less_or_more_and_leaves_the_rest(change: Change, grows: int, batch: Tensor) -> None:
    changed = change(batch, random())
    before, after = find_inside(batch), find_inside(changed)
    area = grows * (after.sum((1, 2, 3)) - before.sum((1, 2, 3)))
    assert (area >= 0).all()
    assert (area > 0).float().mean() > 0.5
    both = (before & after).expand_as(batch)
    assert torch.equal(changed[both], batch[both])
