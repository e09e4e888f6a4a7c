"""Traits measured by hand, and pictures that are no cells told from those that are."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from malaria.data.decode import to_square
from malaria.evaluation.ood import STATISTICS, OODScore, find_quantiles, image_statistics, measure_cells
from malaria.model.dataset import to_floats

Cells = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def cells(drawn: Cells) -> Tensor:
    """(240, 64, 64, 3) uint8."""
    return torch.from_numpy(np.stack([to_square(Image.open(io.BytesIO(png)), 64, "stretch") for _, png in drawn]))


def test_traits_checked_by_hand() -> None:
    batch = torch.zeros(1, 3, 20, 20)
    batch[:, :, 5:15, 5:15] = torch.tensor([0.9, 0.3, 0.6]).view(3, 1, 1)
    batch[:, :, 5:15, 5:10] /= 3  # grey 0.2 beside 0.6
    traits = dict(zip(STATISTICS, image_statistics(batch)[0].tolist(), strict=True))
    expected = {"brightness": 0.4, "redness": 0.4, "blueness": 0.2, "contrast": 0.2, "roughness": 0.4 * 9 / 81}
    assert traits == pytest.approx(expected | {"area": 0.25, "centre": 1, "edges": 0, "corners": 0}, abs=1e-6)
    batch[:, :, :2, :2] = batch[:, :, 0, 5:] = 1.0
    traits = dict(zip(STATISTICS, image_statistics(batch)[0].tolist(), strict=True))
    assert traits["corners"] == pytest.approx((4 + 2) / 16)
    assert traits["edges"] == pytest.approx((2 + 15 + 2 + 1) / 80)  # a corner pixel counts for either side


def test_the_ends_of_the_usual_are_at_one_and_the_median_at_none() -> None:
    traits = torch.rand(10_001, 9, generator=torch.Generator().manual_seed(0))
    reference_quantiles = find_quantiles(traits)
    assert list(reference_quantiles) == list(STATISTICS)
    ends = torch.tensor(list(reference_quantiles.values()))
    assert torch.allclose(
        OODScore(reference_quantiles).rate(ends.T), torch.tensor([[1.0], [0.0], [1.0]]).expand(3, 9), atol=1e-5
    )
    beyond = (OODScore(reference_quantiles).rate(traits) > 1).float().mean(0)
    assert torch.allclose(beyond, torch.full((9,), 0.001), atol=2e-4)


def test_a_picture_without_a_cell_has_traits_too() -> None:
    assert image_statistics(torch.zeros(2, 3, 32, 32)).isfinite().all()


def test_some_cells_of_many_are_measured(cells: Tensor) -> None:
    rows = torch.tensor([3, 200, 7])
    assert torch.allclose(measure_cells(cells, rows), image_statistics(to_floats(cells[rows])))


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "negative": lambda cells: 255 - cells,
    "noise": lambda cells: torch.randint(0, 256, cells.shape, generator=torch.Generator().manual_seed(0)),
    "white around": lambda cells: torch.where(cells.amax(-1, keepdim=True) > 0, cells, 255),
    "black": torch.zeros_like,
    "dark": lambda cells: cells // 3,
    "a part of it": lambda cells: cells[:, 20:44, 20:44].repeat_interleave(2, 1).repeat_interleave(2, 2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_no_cell_is_unlike_one(change: str, cells: Tensor) -> None:
    traits = image_statistics(to_floats(cells))
    unlike = OODScore(find_quantiles(traits))
    assert (unlike(to_floats(cells)).amax(1) > 1).float().mean() < 0.08  # two cells of 240 for each trait
    assert (unlike(to_floats(CHANGES[change](cells))).amax(1) > 1).float().mean() > 0.97
