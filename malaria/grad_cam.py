"""Where in a cell the network sees a parasite.

Grad-CAM (Selvaraju et al., ICCV 2017) in the variant that does not average the gradient over the map (HiResCAM, Draelos
and Carin, arXiv:2011.08891): the average is right only for networks that end in a mean over the map.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

COARSEST = 8  # maps of fewer pixels a side cannot say where in the cell


def grad_cam(model: nn.Module, batch: Tensor) -> Tensor:
    """The evidence for "parasitized" at each pixel of (N, 3, H, W) cells: (N, H, W), 0 where there is none.

    Gradient times activation, from the deepest map that is not coarser than COARSEST, or else from the finest.
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
    evidence = (gradient * chosen).detach().sum(1, keepdim=True).clamp(min=0)
    return interpolate(evidence, batch.shape[2:], mode="bilinear")[:, 0]


def draw_evidence(model: nn.Module, batch: Tensor, peak: float) -> Tensor:
    """The evidence in (N, 3, H, W) cells as pictures, (N, H, W) uint8: 255 where it is `peak` or more."""
    return (grad_cam(model, batch) / peak * 255).clamp(0, 255).byte()


def find_peak(model: nn.Module, batch: Tensor) -> float:
    """The most evidence at a pixel, in the median of some cells (N, 3, H, W): a scale for draw_evidence."""
    return float(grad_cam(model, batch).amax((1, 2)).median().clamp(min=1e-12))


def _pick_map(outputs: list[Tensor]) -> Tensor:
    """The last of the outputs that is a map, (N, channels, H, W), and fine enough; pictures of 3 channels are none."""
    maps = [out for out in outputs if out.dim() == 4 and out.shape[1] > 3]
    finest = max(min(out.shape[2:]) for out in maps)
    return [out for out in maps if min(out.shape[2:]) >= min(COARSEST, finest)][-1]
