"""Augmentation changes what it should and nothing else."""

import itertools
from typing import Any, get_args

import pytest
import torch
from torch import Generator, Tensor

from malaria.model import augment as augmentation
from malaria.model.augment import AUGMENTATIONS
from malaria.params import Augment

LABELS = (torch.arange(40) % 2).float()


def augment(batch: Tensor, policy: Any, random: Generator) -> Tensor:
    """The cells alone, as floats."""
    return augmentation.augment(to_bytes(batch), LABELS[: len(batch)], policy, random)[0]


def to_bytes(batch: Tensor) -> Tensor:
    return (batch * 255).round().byte().permute(0, 2, 3, 1)


def random(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture
def batch() -> Tensor:
    """Cells: a disc of random colours on black, with one dark corner of the disc so that every symmetry shows."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    disc = (x**2 + y**2 < 0.8).float()
    colors = 0.3 + 0.3 * torch.rand(40, 3, 1, 1, generator=random(7))
    spot = 1 - 0.5 * ((x - 0.4) ** 2 + (y - 0.1) ** 2 < 0.05).float()
    return (colors * disc * spot * 255).round() / 255


def symmetries(cell: Tensor) -> list[Tensor]:
    turned = [torch.rot90(cell, k, (1, 2)) for k in range(4)]
    return turned + [side.flip(2) for side in turned]


def test_the_schema_offers_exactly_the_policies_there_are() -> None:
    assert set(get_args(Augment)) == set(AUGMENTATIONS)


@pytest.mark.parametrize("policy", AUGMENTATIONS)
def test_shape_and_range_stay_and_the_seed_decides(policy: str, batch: Tensor) -> None:
    once, again, other = (augment(batch, policy, random(seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert torch.equal(once, other) == torch.equal(once, batch) == (policy == "none")
    assert once.shape == batch.shape
    assert 0 <= once.min() <= once.max() <= 1


def test_flips_give_each_of_the_eight_symmetries_and_nothing_else(batch: Tensor) -> None:
    seen = set()
    for cell, flipped in zip(batch, augment(batch, "flips", random()), strict=True):
        matches = [k for k, side in enumerate(symmetries(cell)) if torch.equal(side, flipped)]
        assert len(matches) == 1
        seen |= set(matches)
    assert seen == set(range(8))


@pytest.mark.parametrize("policy", ["color", "full"])
def test_color_and_full_change_every_cell_in_its_own_way(policy: str, batch: Tensor) -> None:
    same = batch[:1].expand(8, -1, -1, -1)
    changed = augment(same, policy, random())
    assert all(not torch.allclose(a, b, atol=0.02) for a, b in itertools.combinations(changed, 2))
    assert all(not torch.allclose(a, batch[0], atol=0.02) for a in changed)


def test_what_full_turns_in_from_outside_is_black(batch: Tensor) -> None:
    corners = augment(torch.ones_like(batch), "full", random())[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 0).any()
    assert (augment(torch.zeros_like(batch), "full", random()) == 0).all()


def test_color_keeps_the_outline_and_full_turns_one_half_of_the_batch(batch: Tensor) -> None:
    full, color = augment(batch, "full", random()), augment(batch, "color", random())
    outlines, colored = ((each.amax(1, keepdim=True) > 0).float() for each in (batch, color))
    assert all(any(torch.equal(side, b) for side in symmetries(a)) for a, b in zip(outlines, colored, strict=True))
    same = [torch.equal(a, b) for a, b in zip(full, color, strict=True)]
    assert same == [False] * 20 + [True] * 20


def test_full_keeps_the_cell_in_view_and_about_as_bright(batch: Tensor) -> None:
    ratio = augment(batch, "full", random()).sum((1, 2, 3)) / batch.sum((1, 2, 3))
    assert 0.4 < ratio.min() < ratio.max() < 2.5


@pytest.mark.parametrize("policy", ["none", "flips", "color", "full", "robust", "randaugment"])
def test_policies_that_mix_no_cells_leave_the_labels(policy: Any, batch: Tensor) -> None:
    assert torch.equal(augmentation.augment(to_bytes(batch), LABELS, policy, random())[1], LABELS)


@pytest.mark.parametrize("mix", [augmentation._mixup, augmentation._cutmix])
def test_labels_are_mixed_in_the_shares_in_which_the_cells_are(mix: augmentation.Mix) -> None:
    """Cells as bright as their label: so must be their mixtures."""
    cells = LABELS.view(-1, 1, 1, 1).expand(-1, 3, 32, 32)
    seen = []
    for seed in range(20):
        mixed, labels = mix(cells, LABELS, random(seed))
        assert torch.allclose(mixed.mean((1, 2, 3)), labels, atol=1e-6)
        seen.append(labels)
    shares = torch.stack(seen)
    assert shares.min() < 0.1 < 0.9 < shares.max()
    assert ((shares > 0.3) & (shares < 0.7)).any()


def test_cutmix_takes_one_complete_square(batch: Tensor) -> None:
    mixed, _ = augmentation._cutmix(batch, LABELS, random(1))
    taken = (mixed != batch).any(1) & (mixed == batch.flip(0)).all(1)
    kept = (mixed == batch).all(1)
    assert taken.any()
    assert (taken | kept).all()


def test_randaugment_leaves_torchs_own_random_numbers_alone(batch: Tensor) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    augment(batch, "randaugment", random())
    assert torch.equal(torch.rand(1), expected)
