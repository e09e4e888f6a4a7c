"""Fine-tune a trained model on a few labelled cells, in seconds: its last layers, on features that are computed once.

The first layers are frozen and see each augmented cell once; what they make of it is kept, so that the last layers can
be trained on it many times, once for each fold of a cross-validation. Batches are mostly of the new cells, the rest are
a replay of cells that the model was trained on before, so that it does not forget them (Rolnick et al., NeurIPS 2019).
"""

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, nn, optim
from torch.nn.functional import binary_cross_entropy_with_logits

from malaria.data.decode import Pixels
from malaria.model.augment import augment
from malaria.params import Augment

# Chosen by bench/adaptation.py on another laboratory's crops (docs/RESULTS.md)
TRAINED = 0.7  # share of the parameters, at least, that the trained layers have: of small_resnet the last stage
COPIES, REPLAYED = (
    2048,
    1024,
)  # augmented new cells, and replayed ones, in all; or one copy of each, where there are more
STEPS, LR = 40, 4e-3
NEW, OLD = 96, 32  # cells of a batch
AUGMENT: Augment = "robust"
WEIGHT_DECAY, SMOOTHING = 0.05, 0.05
_BATCH = 128  # cells a forward pass

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Features:
    """What the frozen layers make of augmented cells: (M, ...), labels (M,), and of which cell (M,) each is a copy."""

    values: Tensor
    labels: Tensor
    rows: Tensor

    def of_cells(self, rows: Rows) -> "Features":
        """Those of some cells alone."""
        chosen = torch.isin(self.rows, torch.from_numpy(rows))
        return Features(self.values[chosen], self.labels[chosen], self.rows[chosen])


def split_layers(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The frozen layers and those that are trained; they share their weights with the model.

    Of a network that is no nn.Sequential, whose layers have no known order, all are trained.
    """
    *preparation, network = model.children()
    layers = list(network.children()) if isinstance(network, nn.Sequential) else [network]
    sizes = np.array([sum(p.numel() for p in layer.parameters()) for layer in layers])
    trained = np.cumsum(sizes[::-1])[::-1]  # parameters from each layer on
    first = int(np.flatnonzero(trained >= TRAINED * trained[0]).max())
    return nn.Sequential(*preparation, *layers[:first]), nn.Sequential(*layers[first:])


@torch.inference_mode()
def make_features(frozen: nn.Module, pixels: Pixels, labels: npt.NDArray[np.int64], copies: int, seed: int) -> Features:
    """The features of at least `copies` augmented cells, as many of each of (N, size, size, 3)."""
    random = Generator().manual_seed(seed)
    rows = torch.arange(len(pixels)).repeat(max(1, round(copies / len(pixels))))
    rows = rows[torch.randperm(len(rows), generator=random)]
    frozen.eval()
    parts = []
    for part in torch.split(rows, _BATCH):
        cells, of = torch.from_numpy(pixels[part.numpy()]), torch.from_numpy(labels[part.numpy()]).float()
        batch, of = augment(cells, of, AUGMENT, random)
        parts.append((frozen(batch), of))
    values, mixed = (torch.cat(part) for part in zip(*parts, strict=True))
    return Features(values, mixed, rows)


def fine_tune(model: nn.Module, new: Features, old: Features | None, seed: int) -> nn.Module:
    """A copy of the model, its last layers fine-tuned on the new cells' features, and old ones where there are."""
    torch.manual_seed(seed)
    random = Generator().manual_seed(seed)
    model = copy.deepcopy(model).eval()
    _, layers = split_layers(model)
    optimizer = optim.AdamW(layers.parameters(), LR, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, LR, STEPS)
    layers.train()
    for _ in range(STEPS):
        drawn = [_draw(new, NEW, random), _draw(old or new, OLD, random)]
        values, labels = (torch.cat(part) for part in zip(*drawn, strict=True))
        loss = binary_cross_entropy_with_logits(layers(values), labels * (1 - SMOOTHING) + SMOOTHING / 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def _draw(features: Features, n: int, random: Generator) -> tuple[Tensor, Tensor]:
    """Half of each class, as far as there are both, so that a rare one is learned too."""
    positive = features.labels > 0.5
    halves = [rows for rows in (positive.nonzero().flatten(), (~positive).nonzero().flatten()) if len(rows)]
    picked = [
        rows[torch.randint(len(rows), (len(part),), generator=random)]
        for rows, part in zip(halves, torch.arange(n).chunk(len(halves)), strict=True)
    ]
    rows = torch.cat(picked)
    return features.values[rows].clone(), features.labels[rows]  # cloned: made in inference mode
