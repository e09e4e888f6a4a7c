"""Image statistics by hand, and images that are no cells told from cells."""

import io
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from malaria.data.decode import to_square
from malaria.evaluation.ood import (
    STATISTICS,
    OODScore,
    compare_with_training,
    find_quantiles,
    image_statistics,
    measure_cells,
)
from malaria.model.dataset import Cells, to_floats


@pytest.fixture(scope="module")
def cells(drawn: list[tuple[str, bytes]]) -> Tensor:
    """(240, 64, 64, 3) uint8."""
    return torch.from_numpy(np.stack([to_square(Image.open(io.BytesIO(png)), 64, "stretch") for _, png in drawn]))


def statistics(batch: Tensor) -> dict[str, float]:
    """Those of the first cell, by name."""
    return dict(zip(STATISTICS, image_statistics(batch)[0].tolist(), strict=True))


def test_statistics_by_hand() -> None:
    batch = torch.zeros(1, 3, 20, 20)
    batch[:, :, 5:15, 5:15] = torch.tensor([0.9, 0.3, 0.6]).view(3, 1, 1)
    batch[:, :, 5:15, 5:10] /= 3  # gray 0.2 beside 0.6
    ratios = {"red_to_green": math.log(3), "blue_to_green": math.log(2)}
    expected = ratios | {"contrast": 0.5, "roughness": 1.0 * 9 / 81, "dark": 0.5}  # 0.5 beside 1.5
    assert statistics(batch) == pytest.approx(
        expected | {"area": 0.25, "centre": 1, "edges": 0, "corners": 0}, abs=1e-6
    )
    batch[:, :, :2, :2] = batch[:, :, 0, 5:] = 1.0
    assert statistics(batch)["corners"] == pytest.approx((4 + 2) / 16)
    assert statistics(batch)["edges"] == pytest.approx((2 + 15 + 2 + 1) / 80)  # a corner pixel counts for either side
    assert image_statistics(torch.zeros(2, 3, 32, 32)).isfinite().all()


def test_the_score_is_1_at_the_outer_reference_quantiles_and_0_at_the_median() -> None:
    training = torch.rand(10_001, len(STATISTICS), generator=torch.Generator().manual_seed(0))
    quantiles = find_quantiles(training)
    assert list(quantiles) == list(STATISTICS)
    score = OODScore(quantiles).score
    expected = torch.tensor([[1.0], [0.0], [1.0]]).expand(3, len(STATISTICS))
    assert torch.allclose(score(torch.tensor(list(quantiles.values())).T), expected, atol=1e-5)
    beyond = (score(training) > 1).float().mean(0)
    assert torch.allclose(beyond, torch.full((len(STATISTICS),), 0.001), atol=2e-4)


def test_rows_are_compared_with_the_cells_of_train(cells: Tensor) -> None:
    rows = torch.tensor([3, 200, 7])
    assert torch.allclose(measure_cells(cells, rows), image_statistics(to_floats(cells[rows])))
    train = torch.arange(100)
    quantiles, scores = compare_with_training(Cells(cells, torch.zeros(240), {"train": train}), rows)
    assert quantiles == find_quantiles(measure_cells(cells, train))
    assert torch.allclose(scores, OODScore(quantiles)(to_floats(cells[rows])).amax(1))


def test_light_is_not_out_of_distribution(cells: Tensor) -> None:
    score = OODScore(find_quantiles(image_statistics(to_floats(cells))))
    assert (score(to_floats((cells * 0.5).byte())).amax(1) > 1).float().mean() < 0.08


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "negative": lambda cells: 255 - cells,
    "noise": lambda cells: torch.randint(0, 256, cells.shape, generator=torch.Generator().manual_seed(0)),
    "white around": lambda cells: torch.where(cells.amax(-1, keepdim=True) > 0, cells, 255),
    "black": torch.zeros_like,
    "a nucleus": lambda cells: torch.cat([cells[:, :40], (cells[:, 40:].float() * 0.4).byte()], 1),
    "a part of it": lambda cells: cells[:, 20:44, 20:44].repeat_interleave(2, 1).repeat_interleave(2, 2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_images_that_are_no_cells_are_out_of_distribution(change: str, cells: Tensor) -> None:
    scores = OODScore(find_quantiles(image_statistics(to_floats(cells))))
    assert (scores(to_floats(cells)).amax(1) > 1).float().mean() < 0.08  # two cells of 240 for each statistic
    assert (scores(to_floats(CHANGES[change](cells))).amax(1) > 1).float().mean() > 0.97
