"""From pixels to logits: the forward pass that validation, evaluation and prediction share."""

import torch
from torch import Tensor, nn

from malaria.cells import CellFile, to_floats
from malaria.compute import autocast

BATCH = {"cpu": 128, "cuda": 4096}  # cells a forward pass: on a processor, what stays in its cache


@torch.inference_mode()
def predict_logits(model: nn.Module, cells: Tensor | CellFile, rows: Tensor, precision: str) -> Tensor:
    """The (len(rows),) float32 logits, on the CPU, of some rows of (N, H, W, 3) uint8 cells on the model's device."""
    model.eval()
    with autocast(cells.device, precision):
        return torch.cat(
            [model(to_floats(cells[part])).float().cpu() for part in torch.split(rows, BATCH[cells.device.type])]
        )
