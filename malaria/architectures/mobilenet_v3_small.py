"""torchvision's MobileNetV3-Small (Howard et al., 2019): 1.5 M parameters."""

from torch import nn
from torchvision import models

IMAGENET = True


def build(size: int) -> nn.Module:
    """As torchvision builds it, with 1000 classes and fresh weights."""
    network: nn.Module = models.mobilenet_v3_small()
    return network
