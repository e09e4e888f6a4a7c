"""Saliency maps by Grad-CAM (Selvaraju et al., ICCV 2017).

In the variant that does not average the gradient over the map (HiResCAM, Draelos and Carin, arXiv:2011.08891), since
averaging is right only for networks that end in a mean over the map.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

COARSEST = 8  # pixels a side, below which a map is too coarse to locate a parasite


def grad_cam(model: nn.Module, batch: Tensor) -> Tensor:
    """The saliency (N, H, W) of Parasitized in (N, 3, H, W) cells: gradient times activation, negative values set to 0.

    Taken from the deepest feature map that is not coarser than COARSEST, or else from the finest.
    """
    model.eval()
    outputs: list[Tensor] = []
    hooks = [module.register_forward_hook(lambda _, __, out: outputs.append(out)) for module in model.modules()]
    try:
        logits = model(batch.detach().requires_grad_())
    finally:
        for hook in hooks:
            hook.remove()
    chosen = _pick_map(outputs)
    (gradient,) = torch.autograd.grad(logits.sum(), chosen)
    saliency = (gradient * chosen).detach().sum(1, keepdim=True).clamp(min=0)
    return interpolate(saliency, batch.shape[2:], mode="bilinear")[:, 0]


def saliency_maps(model: nn.Module, batch: Tensor, peak: float) -> Tensor:
    """The saliency of (N, 3, H, W) cells as (N, H, W) uint8: 255 where it is `peak` or more."""
    return (grad_cam(model, batch) / peak * 255).clamp(0, 255).byte()


def find_peak(model: nn.Module, batch: Tensor) -> float:
    """The median of the maximal saliency of cells (N, 3, H, W): the scale of `saliency_maps`."""
    return float(grad_cam(model, batch).amax((1, 2)).median().clamp(min=1e-12))


def _pick_map(outputs: list[Tensor]) -> Tensor:
    """The last output that is a feature map, (N, channels, H, W), and fine enough; one of 3 channels is the input."""
    maps = [out for out in outputs if out.dim() == 4 and out.shape[1] > 3]
    finest = max(min(out.shape[2:]) for out in maps)
    return [out for out in maps if min(out.shape[2:]) >= min(COARSEST, finest)][-1]
