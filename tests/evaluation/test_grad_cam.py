"""Maps of evidence whose right answer is known."""

import pytest
import torch

from malaria.evaluation.grad_cam import find_peak, grad_cam, saliency_maps
from malaria.model.dataset import to_floats
from malaria.model.network import ARCHITECTURES
from malaria.model.weights import build_from_config
from tests.support.models import Redness, config


def test_the_evidence_is_where_the_network_has_it_from() -> None:
    cell = torch.zeros(2, 3, 16, 16)
    cell[0, 0, 3:6, 10:12] = 0.8  # red: evidence
    cell[0, 2, 8:12, 0:4] = 0.9  # blue: against it
    cell[1, 1] = 1.0  # green: neither
    evidence = grad_cam(Redness(), cell)
    assert evidence.shape == (2, 16, 16)
    assert torch.allclose(evidence[0] * 16 * 16, cell[0, 0])
    assert evidence[1].sum() == 0


def test_each_cell_is_explained_as_if_alone() -> None:
    torch.manual_seed(0)
    model = build_from_config(config("small_resnet"))
    cells = torch.rand(3, 3, 32, 32)
    assert torch.allclose(grad_cam(model, cells)[1], grad_cam(model, cells[1:2])[0], atol=1e-6)


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_can_be_explained_and_stays_as_it_was(arch: str, size: int) -> None:
    torch.manual_seed(0)
    model = build_from_config(config(arch, size)).eval()
    cells = torch.rand(2, 3, size, size)
    before = model(cells)
    evidence = grad_cam(model, cells)
    assert evidence.shape == (2, size, size)
    assert (evidence >= 0).all()
    assert evidence.sum() > 0
    assert torch.equal(model(cells), before)
    assert not any(module._forward_hooks for module in model.modules())


def test_all_cells_are_drawn_on_the_scale_of_the_median_one() -> None:
    cells = torch.zeros(3, 16, 16, 3, dtype=torch.uint8)
    for cell, red in enumerate((200, 50, 100)):
        cells[cell, 4, 4, 0] = red
    peak = find_peak(Redness(), to_floats(cells))
    pictures = saliency_maps(Redness(), to_floats(cells), peak)
    assert pictures.dtype == torch.uint8
    assert pictures.amax((1, 2)).tolist() == [255, 127, 255]
    assert find_peak(Redness(), torch.zeros(2, 3, 16, 16)) > 0
