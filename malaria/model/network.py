"""A network of `malaria/architectures` behind what prepares its input.

The model maps (N, 3, size, size) floats in 0..1 to (N,) logits, positive for Parasitized.
"""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor, nn

from malaria.model.dataset import find_inside
from malaria.params import Color

Weights = dict[str, Tensor]  # a state dict
Channels = tuple[float, float, float]

HALF: tuple[Channels, Channels] = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)  # 0..1 becomes -1..1, as in the notebook
IMAGENET: tuple[Channels, Channels] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def get_architecture(arch: str) -> ModuleType:
    """The module of `malaria/architectures` of that name."""
    return import_module(f"malaria.architectures.{arch}")


def has_imagenet_weights(arch: str) -> bool:
    """Whether torchvision has weights for it that were trained on ImageNet."""
    return getattr(get_architecture(arch), "IMAGENET", False)


def normalisation(arch: str) -> tuple[Channels, Channels]:
    """Mean and standard deviation a channel by which the input is normalised: ImageNet's for networks of ImageNet."""
    return IMAGENET if has_imagenet_weights(arch) else HALF


def build_network(arch: str, size: int, pretrained: Weights | None = None) -> nn.Module:
    """A network of one logit, with fresh weights or, in all but its head, with pretrained ones."""
    network: nn.Module = get_architecture(arch).build(size)
    if pretrained is not None:
        network.load_state_dict(pretrained)
    if not has_imagenet_weights(arch):
        return network
    name, head = find_head(network)
    network.set_submodule(name, nn.Linear(head.in_features, 1))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1  # torch's default; MobileNet's 0.01 still remembers the start after hundreds of steps
    return nn.Sequential(network, nn.Flatten(0))


def find_head(network: nn.Module) -> tuple[str, nn.Linear]:
    """The last linear layer and its name."""
    return [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]


class BalanceColor(nn.Module):
    """Scale each channel to a mean of 0.5 over the cell: the gray-world white balance.

    Stain and light differ from patient to patient and tell nothing of parasites; contrast within a cell stays.
    """

    def forward(self, x: Tensor) -> Tensor:
        inside = find_inside(x).float()
        mean = x.sum((2, 3), keepdim=True) / inside.sum((2, 3), keepdim=True).clamp(min=1)
        return x * (0.5 / mean.clamp(min=0.05))


class Normalise(nn.Module):
    """Subtract a mean and divide by a standard deviation, both a channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def build_model(
    arch: str, size: int, color: Color, mean: Channels, std: Channels, pretrained: Weights | None = None
) -> nn.Module:
    """BalanceColor where color is "balance", Normalise, then the network; channels last, twice as fast in bf16."""
    balance = BalanceColor() if color == "balance" else nn.Identity()
    model = nn.Sequential(balance, Normalise(mean, std), build_network(arch, size, pretrained))
    return model.to(memory_format=torch.channels_last)


def count_parameters(model: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
