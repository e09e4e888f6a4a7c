"""The mean over the eight symmetries of a cell does not depend on which way up it lies."""

import torch
from torch import nn

from malaria.model.inference import TTA
from malaria.model.network import build_model

CELLS = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_any_way_up_gives_the_same_logit_as_no_network_alone_does() -> None:
    torch.manual_seed(0)
    model = build_model("small_resnet", 32, "keep", (0.5,) * 3, (0.5,) * 3).eval()
    views = TTA(model)
    with torch.inference_mode():
        expected = views(CELLS)
        for turned in (CELLS.flip(2), CELLS.flip(3), CELLS.transpose(2, 3), CELLS.rot90(1, (2, 3))):
            assert torch.allclose(views(turned), expected, atol=1e-5)
            assert not torch.allclose(model(turned), model(CELLS), atol=1e-5)


def test_it_is_the_mean_of_the_eight() -> None:
    class Corner(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, 0, 0, 1]

    square = torch.zeros(1, 3, 4, 4)
    square[:, :, 0, 1] = 8.0  # one of the eight places that the symmetries bring to the corner's neighbour
    assert TTA(Corner())(square).item() == 1
