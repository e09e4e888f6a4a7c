"""Saliency maps of networks whose right answer is known."""

import pytest
import torch

from malaria.evaluation.grad_cam import find_peak, grad_cam, saliency_maps
from malaria.model.dataset import to_floats
from malaria.model.weights import build_from_config
from malaria.params import modules_in
from tests.support.models import Redness, config


def test_saliency_is_where_the_logit_comes_from() -> None:
    cell = torch.zeros(2, 3, 16, 16)
    cell[0, 0, 3:6, 10:12] = 0.8  # red: for Parasitized
    cell[0, 2, 8:12, 0:4] = 0.9  # blue: against it
    cell[1, 1] = 1.0  # green: neither
    saliency = grad_cam(Redness(), cell)
    assert saliency.shape == (2, 16, 16)
    assert torch.allclose(saliency[0] * 16 * 16, cell[0, 0])
    assert saliency[1].sum() == 0


@pytest.mark.parametrize("arch", modules_in("architectures"))
def test_every_architecture_can_be_explained_cell_by_cell_and_stays_as_it_was(arch: str) -> None:
    torch.manual_seed(0)
    for size in (32, 64):
        model, cells = build_from_config(config(arch, size)).eval(), torch.rand(2, 3, size, size)
        before = model(cells)
        saliency = grad_cam(model, cells)
        assert saliency.shape == (2, size, size)
        assert saliency.sum() > 0 <= saliency.min()
        assert torch.allclose(saliency[1], grad_cam(model, cells[1:])[0], atol=1e-6)
        assert torch.equal(model(cells), before)
        assert not any(module._forward_hooks for module in model.modules())


def test_all_maps_are_on_the_scale_of_the_median_cell() -> None:
    cells = torch.zeros(3, 16, 16, 3, dtype=torch.uint8)
    cells[:, 4, 4, 0] = torch.tensor([200, 50, 100])
    peak = find_peak(Redness(), to_floats(cells))
    maps = saliency_maps(Redness(), to_floats(cells), peak)
    assert maps.dtype == torch.uint8
    assert maps.amax((1, 2)).tolist() == [255, 127, 255]
    assert find_peak(Redness(), torch.zeros(2, 3, 16, 16)) > 0
