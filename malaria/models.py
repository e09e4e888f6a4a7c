"""The networks: each maps (N, 3, size, size) floats in 0..1 to (N,) logits, positive for parasitized."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

MEAN, STD = 0.5, 0.5  # of the input, as in the notebook: 0..1 becomes -1..1


def simple_cnn(size: int) -> nn.Module:
    """The notebook's network: two Conv-ReLU-MaxPool blocks, a layer of 128 units, one logit."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * (size // 4) ** 2, 128),
        nn.ReLU(),
        nn.Linear(128, 1),
        nn.Flatten(0),
    )


def small_resnet(size: int) -> nn.Module:
    """Eleven layers and half a million weights: each stage halves the side by its stride, and refines by a residual.

    The strides of the first two convolutions make it fast on a CPU; the maximum over the last map lets one small
    parasite decide. `size` is free.
    """
    return nn.Sequential(
        _conv(3, 16, stride=2),
        _conv(16, 32, stride=2),
        _Residual(32),
        _conv(32, 64, stride=2),
        _Residual(64),
        _conv(64, 128, stride=2),
        _Residual(128),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(128, 1),
        nn.Flatten(0),
    )


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    """Two convolutions and a way past them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        refined: Tensor = x + self.body(x)
        return refined


ARCHITECTURES: dict[str, Callable[[int], nn.Module]] = {"simple_cnn": simple_cnn, "small_resnet": small_resnet}


class BalanceColor(nn.Module):
    """Scales each channel so that its mean over the cell is one half: the grey-world white balance.

    Stain and light differ from patient to patient and say nothing of parasites; what differs within a cell stays.
    """

    def forward(self, x: Tensor) -> Tensor:
        inside = (x.amax(1, keepdim=True) > 0).float()  # outside of the cell all is black
        mean = x.sum((2, 3), keepdim=True) / inside.sum((2, 3), keepdim=True).clamp(min=1)
        return x * (0.5 / mean.clamp(min=0.05))


class Standardise(nn.Module):
    """Brings floats in 0..1 to the mean and spread that the network behind it was made for."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def build_model(arch: str, size: int, color: str, mean: float, std: float) -> nn.Module:
    """A freshly initialised network behind what prepares its input, laid out channels last (twice as fast in bf16).

    color "balance" puts BalanceColor first, "keep" nothing; then comes Standardise, then the network.
    """
    balance = BalanceColor() if color == "balance" else nn.Identity()
    model = nn.Sequential(balance, Standardise(mean, std), ARCHITECTURES[arch](size))
    return model.to(memory_format=torch.channels_last)


def count_weights(model: nn.Module) -> int:
    """How many numbers training adjusts."""
    return sum(weights.numel() for weights in model.parameters())
