"""torchvision's ResNet-18 (He et al., 2016): 11.2 M parameters."""

from torch import nn
from torchvision import models

IMAGENET = True


def build(size: int) -> nn.Module:
    """As torchvision builds it, with 1000 classes and fresh weights."""
    network: nn.Module = models.resnet18()
    return network
