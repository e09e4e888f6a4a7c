"""torchvision's EfficientNet-B0 (Tan and Le, 2019): 4.0 M parameters."""

from torch import nn
from torchvision import models

IMAGENET = True


def build(size: int) -> nn.Module:
    """As torchvision builds it, with 1000 classes and fresh weights."""
    network: nn.Module = models.efficientnet_b0()
    return network
