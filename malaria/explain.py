"""Where in a cell the network sees a parasite, and whether to believe it.

Grad-CAM (Selvaraju et al., ICCV 2017) in the variant that does not average the gradient over the map (HiResCAM, Draelos
and Carin, arXiv:2011.08891): the average is right only for networks that end in a mean over the map.
"""

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from malaria.augment import augment
from malaria.cells import to_floats
from malaria.evaluation import find_mistakes
from malaria.model_files import Recipe, build_network

COARSEST = 8  # maps of fewer pixels a side cannot say where in the cell
WRONG, RIGHT = 24, 12  # cells shown of each kind
AUGMENTED = 3  # draws of each cell shown
SANITY_CELLS, SANITY_NETWORKS = 200, 5
KINDS_RIGHT = {"True positives": 1, "True negatives": 0}


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


def choose_examples(predictions: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Cells of test to show: the most confident mistakes, and of what is called right some at random.

    The columns are kind (False negatives, ...), name, patient, label and probability.
    """
    test = predictions[predictions.split == "test"]
    groups = {kind: cells.head(WRONG) for kind, cells in find_mistakes(predictions, threshold).items()}
    right = test[(test.probability >= threshold) == (test.label == 1)].sample(frac=1, random_state=0)
    groups |= {kind: right[right.label == label].head(RIGHT) for kind, label in KINDS_RIGHT.items()}
    tables = [cells.assign(kind=kind) for kind, cells in groups.items()]
    return pd.concat(tables)[["kind", "name", "patient", "label", "probability"]]


def pick_sanity_cells(predictions: pd.DataFrame) -> pd.DataFrame:
    """Parasitized cells of test at random, to check the maps on; any cells of test if none is parasitized."""
    test = predictions[predictions.split == "test"]
    parasitized = test[test.label == 1]
    return (test if parasitized.empty else parasitized).sample(frac=1, random_state=0).head(SANITY_CELLS)


def explain_cells(model: nn.Module, cells: Tensor, examples: pd.DataFrame) -> Tensor:
    """The evidence in the cells (N, size, size, 3) of some examples, (N, size, size) uint8, one scale for all.

    255 is what the median parasitized cell that is called right has at its peak, or the median of all if none is.
    """
    evidence = grad_cam(model, to_floats(cells))
    peaks = evidence.amax((1, 2))
    typical = torch.tensor((examples.kind == "True positives").to_numpy(), device=peaks.device)
    scale = (peaks[typical] if typical.any() else peaks).median().clamp(min=1e-12)
    return (evidence / scale * 255).clamp(0, 255).byte()


def show_augmentation(cells: Tensor, policy: str) -> Tensor:
    """Cells (N, size, size, 3) uint8 and AUGMENTED draws of a policy: (N, 1 + AUGMENTED, size, size, 3) uint8."""
    random = torch.Generator(cells.device).manual_seed(0)
    labels = torch.ones(len(cells), device=cells.device)
    draws = [to_floats(cells), *(augment(cells, labels, policy, random)[0] for _ in range(AUGMENTED))]
    return (torch.stack(draws, 1) * 255).round().byte().permute(0, 1, 3, 4, 2)


def check_sanity(model: nn.Module, recipe: Recipe, cells: Tensor) -> pd.DataFrame:
    """What share of the evidence lies inside of each cell (N, size, size, 3): a sanity check (Adebayo et al., 2018).

    The columns are trained; randomised, the mean of SANITY_NETWORKS networks with weights as before any training; and
    area, the share of the picture that the cell fills. NaN where there is no evidence at all.
    """
    batch = to_floats(cells)
    inside = (batch.amax(1) > 0).float()  # outside of the cell all is black
    torch.manual_seed(0)
    fresh = [build_network(recipe).to(batch.device) for _ in range(SANITY_NETWORKS)]
    shares = torch.stack([_share_inside(network, batch, inside) for network in (model, *fresh)])
    columns = {"trained": shares[0], "randomised": shares[1:].nanmean(0), "area": inside.mean((1, 2))}
    return pd.DataFrame({name: values.cpu().numpy() for name, values in columns.items()})


def _share_inside(model: nn.Module, batch: Tensor, inside: Tensor) -> Tensor:
    evidence = grad_cam(model, batch)
    return (evidence * inside).sum((1, 2)) / evidence.sum((1, 2))


def _pick_map(outputs: list[Tensor]) -> Tensor:
    """The last of the outputs that is a map, (N, channels, H, W), and fine enough; pictures of 3 channels are none."""
    maps = [out for out in outputs if out.dim() == 4 and out.shape[1] > 3]
    finest = max(min(out.shape[2:]) for out in maps)
    return [out for out in maps if min(out.shape[2:]) >= min(COARSEST, finest)][-1]
