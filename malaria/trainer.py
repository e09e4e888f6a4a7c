"""What a training is made of: its state, a step, an epoch, and when it has come to nothing."""

from typing import Any

import torch
from torch import Generator, Tensor, nn, optim
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from malaria import parallel
from malaria.augment import augment
from malaria.cells import Cells
from malaria.compute import autocast
from malaria.errors import UserError
from malaria.inference import predict_logits
from malaria.models import find_head
from malaria.params import Train

Figures = dict[str, float]  # of an epoch, by name
EXPLODED = 50.0  # mean loss of an epoch; a network that says nothing has 0.69


class Trainer:
    """The state of a training: what `step` changes."""

    def __init__(self, model: nn.Module, cells: Cells, params: Train, precision: str, steps: int) -> None:
        if params.batch_size % parallel.world_size():
            raise UserError(
                f"train.batch_size={params.batch_size} cannot be shared by {parallel.world_size()} devices: "
                "take a multiple"
            )
        self.model, self.cells, self.params, self.precision = model, cells, params, precision
        self.distributed = model
        self.optimizer = make_optimizer(model, params)
        self.schedule = make_schedule(self.optimizer, params, steps)
        self.random = Generator(cells.pixels.device).manual_seed(params.seed)
        self.losses: list[Tensor] = []
        self.hits: list[Tensor] = []
        self.history: list[Figures] = []
        self.best: dict[str, Tensor] = {}  # the weights of the epoch with the lowest loss on val

    def run_epoch(self, epoch: int, steps: int, bar: "tqdm[Any]") -> Figures:
        """Train for an epoch and validate."""
        self.begin_epoch(frozen=epoch <= self.params.freeze)
        figures = {"lr": float(self.schedule.get_last_lr()[0])}
        for rows in self.shuffle()[:steps]:
            self.step(rows)
            bar.update()
        losses = torch.stack(self.losses)
        figures |= self.train_figures() | self.validate()
        self.check(figures, losses, epoch)
        if figures["val/loss"] < min((past["val/loss"] for past in self.history), default=float("inf")):
            self.best = {name: weights.clone() for name, weights in self.model.state_dict().items()}
        self.history.append(figures)
        return figures

    def begin_epoch(self, frozen: bool) -> None:
        """Say what is trained: the last layer alone, or all."""
        freeze_body(self.model, frozen)
        self.distributed = parallel.distribute(self.model)

    def shuffle(self) -> tuple[Tensor, ...]:
        """The rows of train in batches of a new random order."""
        rows = self.cells.rows["train"]
        shuffled = rows[torch.randperm(len(rows), generator=self.random, device=rows.device)]
        return torch.split(shuffled, self.params.batch_size)

    def step(self, rows: Tensor) -> None:
        """One step of the optimizer on a batch of cells, of which this process takes its share."""
        rows = parallel.shard(rows)
        pixels, labels = self.cells.pixels[rows], self.cells.labels[rows]
        batch, labels = augment(pixels, labels, self.params.augment, self.random)
        self.model.train()
        with autocast(batch.device, self.precision):
            logits = self.distributed(batch).float()
        smoothing = self.params.label_smoothing
        loss = binary_cross_entropy_with_logits(logits, labels * (1 - smoothing) + smoothing / 2)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.losses.append(loss.detach())
        self.hits.append(((logits > 0) == (labels > 0.5)).float().mean())

    def train_figures(self) -> dict[str, float]:
        """Mean loss and accuracy over the (augmented) batches since the last call."""
        figures = {"train/loss": torch.stack(self.losses).mean(), "train/accuracy": torch.stack(self.hits).mean()}
        self.losses, self.hits = [], []
        return {key: parallel.mean(value).item() for key, value in figures.items()}

    def validate(self) -> dict[str, float]:
        """Loss and accuracy on val, without augmentation or smoothing."""
        rows = self.cells.rows["val"]
        part = predict_logits(self.model, self.cells.pixels, parallel.shard(rows), self.precision)
        logits = parallel.gather(part, len(rows))
        labels = self.cells.labels[rows].cpu()
        loss = binary_cross_entropy_with_logits(logits, labels)
        return {"val/loss": loss.item(), "val/accuracy": ((logits > 0) == (labels > 0)).float().mean().item()}

    def check(self, figures: Figures, losses: Tensor, epoch: int) -> None:
        """Raise UserError where the losses of an epoch's steps, or that on val, say that nothing can come of it."""
        limits = {"train/loss": EXPLODED, "val/loss": float("inf")}  # val's may be huge until batch norm has settled
        broken = [name for name, limit in limits.items() if not figures[name] < limit]
        if not broken:
            return
        steps = (~(losses < EXPLODED)).nonzero().flatten().tolist() or [len(losses) - 1]
        last = self.history[-1] if self.history else None
        good = f"; after epoch {epoch - 1} val/loss was {last['val/loss']:.4g}" if last else ""
        raise UserError(
            f"training stopped in epoch {epoch} at step {steps[0] + 1} of {len(losses)}: {broken[0]} is "
            f"{figures[broken[0]]:.4g}{good}. No model is written. Lower train.lr, which is {self.params.lr:g}"
        )


def freeze_body(model: nn.Module, frozen: bool) -> None:
    """Leave only the last layer to train, or all of them."""
    _, head = find_head(model)
    model.requires_grad_(not frozen)
    head.requires_grad_()


def make_optimizer(model: nn.Module, params: Train) -> optim.Optimizer:
    """The optimizer that params name, over all weights."""
    match params.optimizer:
        case "adam":
            return optim.Adam(model.parameters(), params.lr, weight_decay=params.weight_decay, fused=True)
        case "adamw":
            return optim.AdamW(model.parameters(), params.lr, weight_decay=params.weight_decay, fused=True)
        case "sgd":
            return optim.SGD(model.parameters(), params.lr, 0.9, weight_decay=params.weight_decay, nesterov=True)


def make_schedule(optimizer: optim.Optimizer, params: Train, steps: int) -> optim.lr_scheduler.LRScheduler:
    """The course of the learning rate over that many steps."""
    match params.schedule:
        case "one_cycle":
            return optim.lr_scheduler.OneCycleLR(optimizer, params.lr, steps)
        case "constant":
            return optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
