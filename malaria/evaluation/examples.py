"""The cells that the report shows, their saliency maps, and a sanity check of these."""

import pandas as pd
import torch
from torch import Tensor, nn

from malaria.evaluation.grad_cam import grad_cam
from malaria.evaluation.predictions import find_mistakes
from malaria.model.augment import augment
from malaria.model.dataset import find_inside, to_floats
from malaria.model.weights import ModelConfig, build_from_config
from malaria.params import Augment

WRONG, RIGHT = 24, 12  # cells of each kind
SHOWN_AUGMENTED = 8  # cells, at most
AUGMENTED = 3  # draws of each cell
TYPICAL = 200  # cells to measure Grad-CAM on
SANITY_NETWORKS = 5
KINDS_RIGHT = {"True positives": 1, "True negatives": 0}


def choose_examples(predictions: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Cells of test to show: the most confident mistakes, and a random sample of correct predictions.

    The columns are kind (False negatives, ...), name, patient, label and probability.
    """
    test = predictions[predictions.split == "test"]
    groups = {kind: cells.head(WRONG) for kind, cells in find_mistakes(predictions, threshold).items()}
    right = test[(test.probability >= threshold) == (test.label == 1)].sample(frac=1, random_state=0)
    groups |= {kind: right[right.label == label].head(RIGHT) for kind, label in KINDS_RIGHT.items()}
    tables = [cells.assign(kind=kind) for kind, cells in groups.items()]
    return pd.concat(tables)[["kind", "name", "patient", "label", "probability"]]


def pick_parasitized(predictions: pd.DataFrame, split: str) -> pd.DataFrame:
    """TYPICAL parasitized cells of a split at random; of all its cells if none is parasitized."""
    cells = predictions[predictions.split == split]
    parasitized = cells[cells.label == 1]
    return (cells if parasitized.empty else parasitized).sample(frac=1, random_state=0).head(TYPICAL)


def show_augmentation(cells: Tensor, policy: Augment) -> Tensor:
    """Cells (N, size, size, 3) uint8 and AUGMENTED draws of a policy: (N, 1 + AUGMENTED, size, size, 3) uint8."""
    random = torch.Generator(cells.device).manual_seed(0)
    labels = torch.ones(len(cells), device=cells.device)
    draws = [to_floats(cells), *(augment(cells, labels, policy, random)[0] for _ in range(AUGMENTED))]
    return (torch.stack(draws, 1) * 255).round().byte().permute(0, 1, 3, 4, 2)


def check_sanity(model: nn.Module, config: ModelConfig, cells: Tensor) -> pd.DataFrame:
    """The share of saliency inside of each cell (N, size, size, 3): a sanity check (Adebayo et al., NeurIPS 2018).

    The columns are trained; randomised, the mean of SANITY_NETWORKS networks before any training; and area, the share
    of the image that the cell fills. NaN where the saliency is zero.
    """
    batch = to_floats(cells)
    inside = find_inside(batch)[:, 0].float()
    torch.manual_seed(0)
    fresh = [build_from_config(config).to(batch.device) for _ in range(SANITY_NETWORKS)]
    shares = torch.stack([_share_inside(network, batch, inside) for network in (model, *fresh)])
    columns = {"trained": shares[0], "randomised": shares[1:].nanmean(0), "area": inside.mean((1, 2))}
    return pd.DataFrame({name: values.cpu().numpy() for name, values in columns.items()})


def _share_inside(model: nn.Module, batch: Tensor, inside: Tensor) -> Tensor:
    saliency = grad_cam(model, batch)
    return (saliency * inside).sum((1, 2)) / saliency.sum((1, 2))
