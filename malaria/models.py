"""The networks: each maps (N, 3, size, size) floats in 0..1 to (N,) logits, positive for parasitized."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from malaria.cells import find_inside

Weights = dict[str, Tensor]  # a state dict


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
    """Ten layers and half a million weights: each stage shrinks the map by its stride, and refines it by a residual.

    One wide first convolution, a quarter of the side in one stride, makes it fast on a CPU; the maximum over the last
    map lets one small parasite decide. `size` is free.
    """
    return nn.Sequential(
        _conv(3, 32, stride=4, kernel=6),
        _Residual(32),
        _conv(32, 64, stride=2),
        _Residual(64),
        _conv(64, 128, stride=2),
        _Residual(128),
        _GlobalMax(),
        nn.Linear(128, 1),
        nn.Flatten(0),
    )


def _conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """A convolution, batch norm and ReLU; padded so that the stride is what the side is divided by."""
    padding = (kernel - stride + 1) // 2
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    """Two convolutions and a way past them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        refined: Tensor = x + self.body(x)
        return refined


class _GlobalMax(nn.Module):
    """(N, C, H, W) to (N, C); unlike AdaptiveMaxPool2d its gradient is the same each time on a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))


def _torchvision(name: str) -> Callable[[int], nn.Module]:
    """How to build one of torchvision's networks, with its 1000 classes."""

    def build(size: int) -> nn.Module:
        from torchvision.models import get_model  # a second, which our own networks do not need

        network: nn.Module = get_model(name)
        return network

    return build


@dataclass(frozen=True)
class Architecture:
    """How to build a network for an input of `size` px, and how that input is to be normalised.

    For a network trained on ImageNet that is what it was trained with, whether or not it starts from those weights.
    """

    build: Callable[[int], nn.Module]
    imagenet: bool = False  # torchvision has weights, which begin where the head ends
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)  # 0..1 becomes -1..1, as in the notebook
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


def _of_imagenet(name: str) -> Architecture:
    """One of torchvision's, which all have the same normalisation."""
    return Architecture(_torchvision(name), imagenet=True, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


ARCHITECTURES = {  # each takes any input of 32 px or more
    "simple_cnn": Architecture(simple_cnn),
    "small_resnet": Architecture(small_resnet),
    "resnet18": _of_imagenet("resnet18"),
    "mobilenet_v3_small": _of_imagenet("mobilenet_v3_small"),
    "efficientnet_b0": _of_imagenet("efficientnet_b0"),
}


def build_network(arch: str, size: int, pretrained: Weights | None = None) -> nn.Module:
    """A network of one logit, with fresh weights or, all but its head, with those that torchvision has for ImageNet."""
    architecture = ARCHITECTURES[arch]
    network = architecture.build(size)
    if pretrained is not None:
        network.load_state_dict(pretrained)
    if not architecture.imagenet:
        return network
    name, head = find_head(network)
    network.set_submodule(name, nn.Linear(head.in_features, 1))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1  # torch's own; MobileNet's 0.01 still remembers the start after hundreds of steps
    return nn.Sequential(network, nn.Flatten(0))


def find_head(network: nn.Module) -> tuple[str, nn.Linear]:
    """The name of the last layer, and the layer."""
    return [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]


class BalanceColor(nn.Module):
    """Scales each channel so that its mean over the cell is one half: the grey-world white balance.

    Stain and light differ from patient to patient and say nothing of parasites; what differs within a cell stays.
    """

    def forward(self, x: Tensor) -> Tensor:
        inside = find_inside(x).float()
        mean = x.sum((2, 3), keepdim=True) / inside.sum((2, 3), keepdim=True).clamp(min=1)
        return x * (0.5 / mean.clamp(min=0.05))


class Standardise(nn.Module):
    """Brings floats in 0..1 to the mean and spread that the network behind it was made for."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def build_model(
    arch: str, size: int, color: str, mean: Sequence[float], std: Sequence[float], pretrained: Weights | None = None
) -> nn.Module:
    """A network behind what prepares its input, laid out channels last (twice as fast in bf16).

    color "balance" puts BalanceColor first, "keep" nothing; then comes Standardise, then the network.
    """
    balance = BalanceColor() if color == "balance" else nn.Identity()
    model = nn.Sequential(balance, Standardise(mean, std), build_network(arch, size, pretrained))
    return model.to(memory_format=torch.channels_last)


def count_weights(model: nn.Module) -> int:
    """How many numbers training adjusts."""
    return sum(weights.numel() for weights in model.parameters())
