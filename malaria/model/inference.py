"""From pixels to logits: the forward pass that validation, evaluation and prediction share."""

import torch
from torch import Tensor, nn

from malaria.model.dataset import CellFile, to_floats
from malaria.model.hardware import autocast
from malaria.params import Precision

BATCH = {"cpu": 128, "cuda": 4096}  # cells a forward pass: on a CPU, what stays in its cache


@torch.inference_mode()
def predict_logits(model: nn.Module, cells: Tensor | CellFile, rows: Tensor, precision: Precision) -> Tensor:
    """The (len(rows),) float32 logits, on the CPU, of some rows of (N, H, W, 3) uint8 cells on the model's device."""
    model.eval()
    with autocast(cells.device, precision):
        return torch.cat(
            [model(to_floats(cells[part])).float().cpu() for part in torch.split(rows, BATCH[cells.device.type])]
        )


class TTA(nn.Module):
    """Test-time augmentation: the mean logit of (N, 3, size, size) cells over the symmetries of the square (D4)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        flipped = [x, x.flip(2), x.flip(3), x.flip(2, 3)]
        views = flipped + [view.transpose(2, 3) for view in flipped]
        return torch.stack([self.model(view) for view in views]).mean(0)
