"""From pixels to logits: the forward pass that validation, evaluation and prediction share."""

import torch
from torch import Tensor, nn

from malaria.compute import autocast

BATCH = {"cpu": 128, "cuda": 4096}  # cells a forward pass: on a processor, what stays in its cache


def to_floats(cells: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 as (N, 3, H, W) floats in 0..1."""
    return cells.permute(0, 3, 1, 2).contiguous().float().div_(255)  # augmentation is faster channels first


@torch.inference_mode()
def predict_logits(model: nn.Module, cells: Tensor, rows: Tensor, precision: str) -> Tensor:
    """The (len(rows),) float32 logits, on the CPU, of some rows of (N, H, W, 3) uint8 cells on the model's device."""
    model.eval()
    with autocast(cells.device, precision):
        return torch.cat(
            [model(to_floats(cells[part])).float().cpu() for part in torch.split(rows, BATCH[cells.device.type])]
        )
